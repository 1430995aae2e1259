"""Defines the errors that core raises; only `http` knows their HTTP status codes."""

from typing import Any, Self


class GatewayError(Exception):
    """An error that the caller may see: `code` is stable, `message` is for people, `details` for programs."""

    code = "error"

    def __init__(
        self, message: str, *, code: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details or {}


class BadRequest(GatewayError):
    """The request cannot be read."""

    code = "bad_request"


class Unauthorized(GatewayError):
    """The credentials are missing or wrong."""

    code = "unauthorized"


class Forbidden(GatewayError):
    """The caller is known, but not allowed to do this."""

    code = "forbidden"


class DeviceDisabled(Forbidden):
    """An operator has disabled the device or the CRM that it belongs to."""

    code = "device_disabled"


class DeviceWaiting(DeviceDisabled):
    """The device registered itself, and no operator has approved it yet."""

    code = "device_waiting"


class NotFound(GatewayError):
    """The object does not exist or belongs to somebody else."""

    code = "not_found"


class Conflict(GatewayError):
    """The request conflicts with the current state."""

    code = "conflict"


class IllegalTransition(Conflict):
    """The status of the message does not allow this change."""

    code = "illegal_transition"


class TooMany(GatewayError):
    """A limit is reached; `retry_after_seconds` says when to try again."""

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
    """A value is wrong; `details` names the field."""

    code = "invalid"

    @classmethod
    def field(cls, name: str, text: str) -> Self:
        """Return the error for a field, with the message `name: text`."""
        return cls(f"{name}: {text}", details={name: [text]})

    @classmethod
    def sentence(cls, name: str, text: str, *, code: str | None = None) -> Self:
        """Return the error for a field, with a text that needs no name before it."""
        return cls(text, code=code, details={name: [text]})

    @classmethod
    def cursor(cls) -> Self:
        """Return the error for a cursor that no page has returned."""
        return cls.field("cursor", "Not a cursor that a page before gave.")
