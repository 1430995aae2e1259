"""Writes down what a device is handed: new dispatches of messages, or one more hand-out of dispatches."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...settings import Settings
from ...sms import statuses
from ...store.models import Dispatch, Message, OptOut
from ...store.queries import Change, Query
from ...store.rows import DispatchRow, MessageRow
from ...store.tables import plain
from ..devices import protocols
from ..devices import queue as device_queue
from ..devices.locking import Locked
from . import endings
from .history import ANNOUNCED_COLUMNS, AnnouncedMessage, HistoryWriter

_CHOSEN: sa.BindParameter[Sequence[str]] = sa.bindparam("chosen", expanding=True)
_LEASE_AGAIN = Change(
    sa.update(plain(Dispatch))
    .where(Dispatch.id.in_(_CHOSEN))
    .values(
        {
            Dispatch.hand_out_count: Dispatch.hand_out_count + 1,
            Dispatch.last_handed_out_at: sa.bindparam("now"),
            Dispatch.lease_until: sa.bindparam("until"),
        }
    )
)
# Asked once the messages are locked: who opts out after this statement waits for this transaction, and so does a report
# that another phone tries again.
_IS_OPTED_OUT = (
    sa.exists()
    .where(
        OptOut.crm_id == Message.crm_id,
        OptOut.bare_number == sa.func.ltrim(Message.to_number, "+"),
    )
    .correlate(plain(Message))
)
_TAKE = Query(
    AnnouncedMessage,
    sa.update(plain(Message))
    .where(Message.id.in_(_CHOSEN), ~_IS_OPTED_OUT, device_queue.HAS_NO_OTHER_PHONE)
    .values(
        {
            Message.status: statuses.DISPATCHED,
            Message.device_id: sa.bindparam("device"),
            Message.from_number: sa.bindparam("phone"),
            Message.updated_at: sa.bindparam("now"),
        }
    )
    .returning(*ANNOUNCED_COLUMNS),
)


def dispatch_new(
    session: Session,
    message_ids: Sequence[str],
    device: Locked,
    settings: Settings,
    history: HistoryWriter,
) -> list[tuple[str, MessageRow]]:
    """Dispatch these locked messages to the device; return each new dispatch's id with its message, in their order.

    `history` writes the dispatches. A message to a number that has opted out fails instead.
    """
    if not message_ids:
        return []
    pairs = [
        (message, _new(message, device, settings, history.now))
        for message in _take(session, message_ids, device, history)
    ]
    for message, dispatch in pairs:
        history.add_dispatch(dispatch)
        history.note(message, statuses.DISPATCHED, dispatch=dispatch)
        history.announce("message.dispatched", message, [message.crm_id or ""])
    return [(dispatch.id, message) for message, dispatch in pairs]


def lease_again(
    session: Session,
    dispatch_ids: Sequence[str],
    device: Locked,
    settings: Settings,
    now: datetime,
) -> None:
    """Count one more hand-out of these dispatches, and give the device another lease to confirm them."""
    if dispatch_ids:
        lease_until = now + protocols.lease(device.protocol, settings)
        _LEASE_AGAIN.run(session, chosen=dispatch_ids, now=now, until=lease_until)


def _take(
    session: Session, message_ids: Sequence[str], device: Locked, history: HistoryWriter
) -> list[MessageRow]:
    """Take the messages for the device, but those to a number that has opted out, which fail."""
    found = _TAKE.all(
        session, chosen=message_ids, device=device.id, phone=device.phone, now=history.now
    )
    history.note_subscribers(found)
    taken = {row.id: row for row in found}
    refused = [message_id for message_id in message_ids if message_id not in taken]
    if refused:
        is_refused = sa.and_(Message.id.in_(refused), _IS_OPTED_OUT)
        messages = session.scalars(sa.select(Message).where(is_refused).order_by(Message.id)).all()
        endings.fail_opted_out(session, messages, history)
    return [taken[message_id] for message_id in message_ids if message_id in taken]


def _new(message: MessageRow, device: Locked, settings: Settings, now: datetime) -> DispatchRow:
    return DispatchRow(
        id=ids.new_dispatch_id(),
        message_id=message.id,
        device_id=device.id,
        protocol=device.protocol,
        status=statuses.DISPATCHED,
        status_at=now,
        segments=message.segments,
        hand_out_count=1,
        handed_out_at=now,
        last_handed_out_at=now,
        lease_until=now + protocols.lease(device.protocol, settings),
    )
