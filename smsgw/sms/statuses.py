"""Defines which status may follow which on a phone, and which reports of a batch are new.

Source: the stock app's protocol. It reports UNSENT (`accepted`), PENDING (`sending`), SENT, DELIVERED and FAILED;
its own retries go back from PENDING to UNSENT, a person's retry from FAILED or PENDING to UNSENT.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

QUEUED = "queued"
DISPATCHED = "dispatched"
ACCEPTED = "accepted"
SENDING = "sending"
SENT = "sent"
DELIVERED = "delivered"
FAILED = "failed"
EXPIRED = "expired"
CANCELLED = "cancelled"
RECEIVED = "received"

OUTBOUND = (
    QUEUED,
    DISPATCHED,
    ACCEPTED,
    SENDING,
    SENT,
    DELIVERED,
    FAILED,
    EXPIRED,
    CANCELLED,
)
INBOUND = (RECEIVED,)
ACTIVE = (DISPATCHED, ACCEPTED, SENDING)
UNFINISHED = (QUEUED, *ACTIVE)
# The SMS has left the phone.
WENT_OUT = (SENT, DELIVERED)

MOVES: dict[str, frozenset[str]] = {
    DISPATCHED: frozenset({ACCEPTED, SENDING, SENT, DELIVERED, FAILED}),
    ACCEPTED: frozenset({SENDING, SENT, DELIVERED, FAILED}),
    SENDING: frozenset({ACCEPTED, SENT, DELIVERED, FAILED}),
    SENT: frozenset({DELIVERED}),
    FAILED: frozenset({ACCEPTED, SENDING, SENT, DELIVERED, FAILED}),
    DELIVERED: frozenset(),
}
# An SMS that was sent stays sent, whatever else is reported: `sent` ranks above `failed`.
_RANKS = {DISPATCHED: 0, ACCEPTED: 1, SENDING: 2, FAILED: 3, SENT: 4, DELIVERED: 5}
_NEGATIVE_DELIVERY_REPORT = "Delivery failed"


def has_delivery_report(status: str, reason: str | None) -> bool:
    """Return whether the network has sent a delivery report, positive or negative."""
    is_negative = status == FAILED and (reason or "").startswith(_NEGATIVE_DELIVERY_REPORT)
    return status == DELIVERED or is_negative


def may_follow(current: str, reported: str, reason: str | None) -> bool:
    """Return whether a report that came in its order moves a dispatch from `current` to `reported`.

    After `sent` only a negative delivery report is a failure; other reports of failures are late.
    """
    if current == SENT and reported == FAILED:
        return has_delivery_report(reported, reason)
    return reported in MOVES[current]


def may_overtake(current: str, reported: str) -> bool:
    """Return the same for a report from a request that overlapped another one: only forward, never back."""
    return _RANKS[reported] > _RANKS[current]


def furthest(statuses: Sequence[str]) -> str:
    """Return the status of the dispatch that got furthest."""
    return max(statuses, key=_RANKS.__getitem__)


Words = TypeVar("Words", bound=Hashable)


def without_repeat(stored: Sequence[Words], incoming: Sequence[Words]) -> list[Words]:
    """Return the part of `incoming` that the phone has not reported before.

    A phone that lost our answer repeats the end of what it reported, and then adds what is new. So the longest
    beginning of `incoming` that is an end of `stored` is a repeat, and the rest is not.
    """
    for length in range(min(len(stored), len(incoming)), 0, -1):
        if list(stored[-length:]) == list(incoming[:length]):
            return list(incoming[length:])
    return list(incoming)
