"""Describes the outcome of a request to an endpoint."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What came of a request: either a `status_code` or an `error`, never both.

    `error` is one of `timeout`, `dns`, `address_refused`, `connection_refused`, `connection_failed`,
    `connection_lost`, `tls`, `protocol` and `invalid_url`; `detail` says it for people and holds no part of the
    URL but its host. `response_text` is the beginning of the answer's body, 4,096 bytes at most.
    """

    status_code: int | None
    error: str | None
    detail: str | None
    response_text: str
    duration_seconds: float
    retry_after_seconds: float | None

    @property
    def is_success(self) -> bool:
        """Whether the receiver accepted it: 2xx and nothing else."""
        return self.status_code is not None and 200 <= self.status_code <= 299
