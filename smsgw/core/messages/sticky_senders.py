"""Sends to a number with the device that last exchanged messages with it, for CRMs with `sticky_sender`.

A message for any device then queues in the lane of that device. When the device can no longer take it, `open_again`
gives it to all devices of the CRM, within a second or two.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import numbers, statuses
from ...sms.numbers import without_plus
from ...store.db import Database, wake_up
from ...store.models import Crm, Device, LastDevice, Message
from ...store.on_conflict import insert_into
from ...store.queries import Change, Query, written_out
from ...store.rows import AnyCrm, MessageRow
from ...store.tables import plain
from ..devices import lanes, limit_states, registry, routing
from ..devices import queue as device_queue
from ..devices.routing import RoutedCrm
from .dispatches import ReportedMessage

_AT_ONCE = 500
_SHORT_HOLD = timedelta(minutes=1)


class _Contact(NamedTuple):
    """A number and the device that exchanged messages with it for a CRM."""

    crm_id: str
    number: str
    device_id: str


class _Last(NamedTuple):
    bare_number: str
    device_id: str


_LAST = Query(
    _Last,
    sa.select(LastDevice.bare_number, LastDevice.device_id).where(
        LastDevice.crm_id == sa.bindparam("crm_id", type_=sa.String),
        LastDevice.bare_number.in_(sa.bindparam("numbers", type_=sa.String, expanding=True)),
    ),
)
_IS_IN_STICKY_LANE = sa.and_(
    device_queue.IS_QUEUED,
    Message.lane >= written_out(lanes.RANGE_OF_STICKY[0]),
    Message.lane < written_out(lanes.RANGE_OF_STICKY[1]),
)
_ANY_STICKY_LANE = Query(str, sa.select(Message.id).where(_IS_IN_STICKY_LANE).limit(1))


def _noting(dialect: Dialect) -> sa.Insert:
    """Return the statement that notes a contact."""
    names = ("crm_id", "bare_number", "device_id", "talked_at")
    statement = insert_into(plain(LastDevice), dialect).values(
        {name: sa.bindparam(name) for name in names}
    )
    changed = {name: statement.excluded[name] for name in names[2:]}
    noting: sa.Insert = statement.on_conflict_do_update(index_elements=names[:2], set_=changed)
    return noting


_NOTE = Change(_noting)


def choose_lanes(
    session: Session,
    crm: AnyCrm,
    settings: Settings,
    wanted: Collection[Message | MessageRow],
    now: datetime,
) -> None:
    """Put those of the CRM's new messages that any device may send into the lane of the device they stick to."""
    open_ones = [row for row in wanted if row.device_id is None]
    if not (crm.sticky_sender and open_ones):
        return
    bare = {without_plus(row.to_number or "") for row in open_ones}
    last = {
        row.bare_number: row.device_id
        for row in _LAST.all(session, crm_id=crm.id, numbers=list(bare))
    }
    fit_ids = fit(session, crm, set(last.values()), settings, now)
    for row in open_ones:
        device_id = last.get(without_plus(row.to_number or ""))
        if device_id is not None and device_id in fit_ids:
            row.lane = lanes.exchange(row.lane, lanes.sticky(crm.id, device_id))


def note_received(
    session: Session,
    messages: Sequence[MessageRow],
    receivers: Sequence[RoutedCrm],
    now: datetime,
) -> None:
    """Note the contact of each inbound message's sender with the device that received it."""
    _note(
        session,
        [
            _Contact(crm.id, message.from_number or "", message.device_id or "")
            for crm in receivers
            if crm.sticky_sender
            for message in messages
            if numbers.is_dialable(message.from_number or "")
        ],
        now,
    )


def note_sent(session: Session, settled: Iterable[ReportedMessage], now: datetime) -> None:
    """Note the contact of each sent message's recipient with the device that sent it, for CRMs that want it."""
    contacts = [
        _Contact(row.crm_id, row.to_number, row.device_id)
        for row in settled
        if row.is_sticky and row.status in statuses.WENT_OUT
        if row.crm_id and row.to_number and row.device_id
    ]
    _note(session, contacts, now)


def forget(session: Session, limit: datetime) -> None:
    """Remove the contacts that are older, some hundred at a time."""
    old = sa.select(LastDevice.crm_id, LastDevice.bare_number).where(LastDevice.talked_at <= limit)
    for crm_id, number in session.execute(old.limit(_AT_ONCE)).all():
        is_it = sa.and_(LastDevice.crm_id == crm_id, LastDevice.bare_number == number)
        session.execute(sa.delete(LastDevice).where(is_it, LastDevice.talked_at <= limit))


def open_again(session: Session, settings: Settings, now: datetime) -> int:
    """Give all devices of their CRM the messages whose device cannot take them now; return how many.

    Such a device is offline, disabled, paused, at a limit or removed, or its CRM may no longer use it or is no longer
    sticky. Handles some hundred of each lane at a time.
    """
    opened = 0
    for lane in _closed_lanes(session, settings, now):
        chosen = sa.select(Message.id).where(device_queue.IS_QUEUED, Message.lane == lane)
        chosen = chosen.limit(_AT_ONCE).with_for_update(skip_locked=True)
        ids = list(session.scalars(chosen))
        crm_id, _ = lanes.parts_of_sticky(lane)
        session.execute(
            sa.update(Message).where(Message.id.in_(ids)).values(lane=lanes.of_crm(crm_id))
        )
        opened += len(ids)
    if opened:
        wake_up(session)
    return opened


def has_closed_lanes(database: Database, settings: Settings, now: datetime) -> bool:
    """Return whether `open_again` would find a message."""
    if _ANY_STICKY_LANE.read(database) is None:
        return False
    with database.reading() as session:
        return bool(_closed_lanes(session, settings, now))


def fit(
    session: Session,
    crm: AnyCrm,
    device_ids: Collection[str],
    settings: Settings,
    now: datetime,
) -> set[str]:
    """Return those of these devices that the CRM may use, are enabled and online, and are not held back for long."""
    usable = routing.usable(session, crm, device_ids)
    return {
        device.id
        for device in registry.several(session, list(usable))
        if device.enabled
        and registry.is_online(device, now, settings.device_offline_seconds)
        and not _is_held(session, device, settings, now)
    }


def _closed_lanes(session: Session, settings: Settings, now: datetime) -> list[str]:
    """Return the sticky lanes in which something waits for a device that cannot take it."""
    by_crm: dict[str, dict[str, str]] = {}
    for lane in _sticky_lanes(session):
        crm_id, device_id = lanes.parts_of_sticky(lane)
        by_crm.setdefault(crm_id, {})[device_id] = lane
    closed: list[str] = []
    for crm_id, of_devices in by_crm.items():
        crm = session.get_one(Crm, crm_id)
        fit_ids = (
            fit(session, crm, of_devices.keys(), settings, now) if crm.sticky_sender else set()
        )
        closed += [lane for device_id, lane in of_devices.items() if device_id not in fit_ids]
    return closed


def _sticky_lanes(session: Session) -> Iterator[str]:
    """Yield the sticky lanes in which something waits, found by stepping from lane to lane by their index."""
    first, after_last = lanes.RANGE_OF_STICKY
    lane = session.scalar(_first_lane().where(Message.lane >= first, Message.lane < after_last))
    while lane is not None:
        yield lane
        lane = session.scalar(_first_lane().where(Message.lane > lane, Message.lane < after_last))


def _first_lane() -> sa.Select[Any]:
    return sa.select(sa.func.min(Message.lane)).where(device_queue.IS_QUEUED)


def _is_held(session: Session, device: Device, settings: Settings, now: datetime) -> bool:
    """Return whether a pause or a limit keeps messages from the device for longer than a minute."""
    hold = limit_states.find_hold(session, device, settings, now)
    return hold is not None and hold.until > now + _SHORT_HOLD


def _note(session: Session, contacts: Iterable[_Contact], now: datetime) -> None:
    # In one order everywhere, so that two transactions wait for each other and do not deadlock.
    latest = {(one.crm_id, without_plus(one.number)): one.device_id for one in contacts}
    _NOTE.run_each(
        session,
        [
            {"crm_id": crm_id, "bare_number": number, "device_id": device_id, "talked_at": now}
            for (crm_id, number), device_id in sorted(latest.items())
        ],
    )
