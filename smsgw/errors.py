"""Defines the errors that core raises. Only `http` knows their HTTP status codes."""

from typing import Any


class GatewayError(Exception):
    """An error the caller may see. `code` is stable, `message` is for people, `details` for programs."""

    code = "error"

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details or {}


class BadRequest(GatewayError):
    """The request cannot be understood at all."""

    code = "bad_request"


class Unauthorized(GatewayError):
    """No credentials, or wrong ones."""

    code = "unauthorized"


class Forbidden(GatewayError):
    """Known, but not allowed."""

    code = "forbidden"


class DeviceDisabled(Forbidden):
    """The operator has switched this device off, or the CRM it belongs to."""

    code = "device_disabled"


class DeviceWaiting(DeviceDisabled):
    """This device registered itself, and no operator has approved it yet."""

    code = "device_waiting"


class NotFound(GatewayError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"


class Conflict(GatewayError):
    """Understood, but it does not go with what is there already."""

    code = "conflict"


class IllegalTransition(Conflict):
    """The message's status does not allow this."""

    code = "illegal_transition"


class TooMany(GatewayError):
    """More than is allowed now; `retry_after_seconds` says when to come back."""

    code = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: int,
        code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class Invalid(GatewayError):
    """Understood, but a value is wrong; `details` names the field."""

    code = "invalid"
