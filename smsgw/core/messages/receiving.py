"""Stores inbound SMS exactly once, however often and by whichever way a phone sends them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...sms import numbers, statuses
from ...sms.segments import measure
from ...store.arrays import is_any_of
from ...store.inserts import Insert, InsertNew
from ...store.models import InboxEntry, Message
from ...store.queries import Query, not_null
from ...store.rows import MessageRow
from ..devices import routing
from ..devices.locking import Locked
from . import opt_out_requests, phone_ids, sticky_senders
from .history import HistoryWriter

MAX_SENDER = 100
MAX_CONTENT_BYTES = 65536
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Received:
    """An SMS as a phone brought it. `phone_id` is the phone's own id of it."""

    phone_id: str
    from_number: str
    content: str
    device_received_at: datetime | None = None
    sms_sent_at: datetime | None = None


class _Known(NamedTuple):
    """An inbound message that is there already."""

    id: str
    inbound_key: str
    content: str | None


class _Inbox(NamedTuple):
    crm_id: str
    message_id: str


_KNOWN = Query(
    _Known,
    lambda dialect: sa.select(Message.id, not_null(Message.inbound_key), Message.content).where(
        is_any_of(Message.inbound_key, "keys", dialect)
    ),
)
_INBOX = Insert(InboxEntry, _Inbox)
_NEW_MESSAGES = InsertNew(
    Message,
    MessageRow,
    "id",
    "direction",
    "status",
    "device_id",
    "from_number",
    "to_number",
    "content",
    "encoding",
    "segments",
    "priority",
    "created_at",
    "updated_at",
    "inbound_key",
    "device_received_at",
    "sms_sent_at",
    conflict_on=[Message.inbound_key],
    returning=Message.id,
)


def fault(
    sender: str | None, content: str | None, *, sender_name: str, content_name: str
) -> str | None:
    """Return why an SMS cannot be stored, in one line with the names of its fields; `None` if it can.

    A `sender` or `content` of `None` was not a text.
    """
    if sender is None or len(sender) > MAX_SENDER:
        return f"{sender_name} must be a text of at most {MAX_SENDER} characters"
    if content is None:
        return f"{content_name} must be a text"
    if len(content.encode("utf-8", "replace")) > MAX_CONTENT_BYTES:
        return f"{content_name} is longer than 64 KiB"
    return None


def receive(
    session: Session,
    device: Locked,
    region: str | None,
    batch: Sequence[Received],
    history: HistoryWriter,
) -> None:
    """Keep what is new of the batch, and announce it to the CRMs of the device.

    Ids that are UUIDs count across devices (a phone that was registered anew sends them again), others per device.
    The first content that came with an id stays.
    """
    if not batch:
        return
    by_key = {
        key: item for item in reversed(batch) for key in [phone_ids.key(device.id, item.phone_id)]
    }
    wanted = dict(reversed(by_key.items()))
    made = [_row(device, region, key, item, history.now) for key, item in wanted.items()]
    # In one order everywhere, so that two phones with the same ids wait for each other and do not deadlock.
    ordered = sorted(made, key=lambda row: str(row.inbound_key))
    new_ids = set(_NEW_MESSAGES.new(session, ordered))
    _warn_of_other_content(session, device, [row for row in made if row.id not in new_ids])
    _announce(session, device, [row for row in made if row.id in new_ids], history)


def _row(device: Locked, region: str | None, key: str, item: Received, now: datetime) -> MessageRow:
    measured = measure(item.content)
    return MessageRow(
        id=ids.new_message_id(),
        direction="inbound",
        status=statuses.RECEIVED,
        device_id=device.id,
        from_number=numbers.normalise_sender(item.from_number, region),
        to_number=device.phone,
        content=item.content,
        encoding=measured.encoding,
        segments=measured.segments,
        created_at=now,
        updated_at=now,
        inbound_key=key,
        device_received_at=item.device_received_at,
        sms_sent_at=item.sms_sent_at,
    )


def _warn_of_other_content(session: Session, device: Locked, repeats: Sequence[MessageRow]) -> None:
    """Log that another text came under a known id and was not kept."""
    if not repeats:
        return
    known = _KNOWN.all(session, keys=[row.inbound_key for row in repeats])
    first = {row.inbound_key: row for row in known if row.content is not None}
    for row in repeats:
        earlier = first.get(row.inbound_key or "")
        if earlier is not None and earlier.content != row.content:
            _LOG.warning("device %s brought %s again with another text", device.id, earlier.id)


def _announce(
    session: Session, device: Locked, kept: Sequence[MessageRow], history: HistoryWriter
) -> None:
    if not kept:
        return
    receivers = routing.receivers(session, device.id)
    crm_ids = [receiver.id for receiver in receivers]
    _INBOX.all(session, [_Inbox(crm_id, row.id) for row in kept for crm_id in crm_ids])
    for message in kept:
        history.note(message, statuses.RECEIVED, device_id=device.id)
        history.announce("message.received", message, crm_ids)
    opt_out_requests.follow(session, kept, receivers, history)
    sticky_senders.note_received(session, kept, receivers, history.now)
