"""Hands queued messages to a device that polls, and once more those it never confirmed.

Rules: protocols of the stock app. A dispatch that is not acknowledged is handed out again to the same device with the
same id, because the phone sends a known id only once; one that is acknowledged never is. `choosing` says what the
device is handed, `dispatching` writes it down; `quotas` has the limits, `protocols` the numbers of each app.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.db import Database
from ...store.queries import Query
from ..devices import capacity, locking, monthly_recipients, quotas
from ..devices import queue as device_queue
from ..devices.capacity import DEVICE_ID, moments
from ..devices.locking import Locked
from ..devices.logins import Login
from ..devices.quotas import Quota
from . import choosing, dispatching, oversized
from .choosing import MOST_PER_ANSWER
from .history import HistoryWriter, writing_history

_HAS_UNCONFIRMED = Query(bool, sa.select(capacity.has_unconfirmed(DEVICE_ID)))


@dataclass(frozen=True)
class Outgoing:
    """A message as a phone is handed it; `id` is the id of the dispatch."""

    id: str
    to: str
    content: str
    priority: int


class _Sendable(Protocol):
    """The columns of a message that a phone is handed."""

    @property
    def to_number(self) -> str | None:
        """See `Message`."""

    @property
    def content(self) -> str | None:
        """See `Message`."""

    @property
    def priority(self) -> int:
        """See `Message`."""


def may_take(database: Database, device_id: str, settings: Settings, now: datetime) -> bool:
    """Return whether a device that may have work would be handed any of it now."""
    quota = quotas.read(database, device_id, settings, now)
    if quota.has_pause:
        return False
    if _has_new(database, quota, now):
        return True
    return _HAS_UNCONFIRMED.read(database, device_id=device_id, **moments(now)) is True


def hand_out(
    session: Session, device: Locked, settings: Settings, history: HistoryWriter
) -> list[Outgoing]:
    """Hand the device what it never confirmed once more, and new messages where an answer has room for them."""
    again = _hand_out_again(session, device, settings, history.now)
    return again + hand_out_new(session, device, settings, history, MOST_PER_ANSWER - len(again))


def hand_out_to_socket(
    session: Session, login: Login, socket_id: str, settings: Settings, now: datetime
) -> list[Outgoing]:
    """Hand the device its next messages; nothing when this is not its socket. Raises what `admit` raises."""
    device = locking.admit(session, login)
    if device.socket_id != socket_id:
        return []
    with writing_history(session, now) as history:
        return hand_out(session, device, settings, history)


def hand_out_new(
    session: Session,
    device: Locked,
    settings: Settings,
    history: HistoryWriter,
    most: int = MOST_PER_ANSWER,
) -> list[Outgoing]:
    """Hand the device at most so many queued messages, as many as its capacity allows."""
    oversized.fail(session, device, settings, history)
    chosen = choosing.choose_queued(session, device.id, most, settings, history.now)
    handed_out = dispatching.dispatch_new(session, chosen, device, settings, history)
    numbers = [message.to_number for _, message in handed_out]
    monthly_recipients.note_numbers(session, device, numbers, settings, history.now)
    return [_outgoing(dispatch_id, message) for dispatch_id, message in handed_out]


def _hand_out_again(
    session: Session, device: Locked, settings: Settings, now: datetime
) -> list[Outgoing]:
    """Hand out what was not confirmed within the lease, with the same ids."""
    chosen = choosing.choose_unconfirmed(session, device.id, settings, now)
    dispatching.lease_again(session, [row.id for row in chosen], device, settings, now)
    monthly_recipients.note_numbers(
        session, device, [row.to_number for row in chosen], settings, now
    )
    return [_outgoing(row.id, row) for row in chosen]


def _has_new(database: Database, quota: Quota, now: datetime) -> bool:
    if not quota.has_room or not quota.takes_known_only:
        return quota.has_room
    # Until its recipients are noted, nobody knows which messages are to these.
    if quota.counted_month != quota.month:
        return True
    return device_queue.read_has_work_for_known(database, quota.device_id, quota.month, now)


def _outgoing(dispatch_id: str, message: _Sendable) -> Outgoing:
    return Outgoing(dispatch_id, message.to_number or "", message.content or "", message.priority)
