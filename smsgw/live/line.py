"""Knows whether a client's line is live: when it was last heard from, and whether it has yet to answer a ping."""

import time

# A mobile line can be dead for minutes before TCP says so.
LIVE_SECONDS = 5.0
PONG_SECONDS = 20.0


class Line:
    """The signs of life of one client, by this process's clock. A new line counts as live."""

    __slots__ = ("_pinged_at", "_received_at")

    def __init__(self) -> None:
        self._received_at = time.monotonic()
        self._pinged_at: float | None = None

    @property
    def is_live(self) -> bool:
        """Return whether anything came from the client within the last five seconds."""
        return self._received_at > time.monotonic() - LIVE_SECONDS

    @property
    def is_dead(self) -> bool:
        """Return whether the client has left a ping unanswered for twenty seconds."""
        return self._pinged_at is not None and self._pinged_at <= time.monotonic() - PONG_SECONDS

    def note_received(self) -> None:
        """Note that bytes came from the client."""
        self._received_at = time.monotonic()

    def note_pong(self) -> None:
        """Note that the client answered our ping."""
        self._pinged_at = None

    def note_ping(self) -> bool:
        """Note that a ping is to be sent, and return whether it is; `False` while an earlier one has no answer."""
        is_due = self._pinged_at is None
        if is_due:
            self._pinged_at = time.monotonic()
        return is_due
