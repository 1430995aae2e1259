"""Maps the ids that phones give the SMS they receive to the ids of our messages."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...store.arrays import is_any_of
from ...store.models import Device, InboxEntry, Message
from ...store.queries import Query
from ...store.rows import AnyCrm, MessageRow


class _Keyed(NamedTuple):
    id: str
    device_id: str | None
    inbound_key: str | None


_OF_MESSAGES = Query(
    _Keyed,
    lambda dialect: sa.select(Message.id, Message.device_id, Message.inbound_key).where(
        is_any_of(Message.id, "message_ids", dialect)
    ),
)


def key(device_id: str, phone_id: str) -> str:
    """Return the `inbound_key` of an SMS: ids that are UUIDs count across devices, others per device."""
    return phone_id.lower() if ids.is_uuid(phone_id) else f"{device_id}:{phone_id}"


def phone_id(message: Message | MessageRow | _Keyed) -> str:
    """Return the id that the device gave an incoming SMS; a UUID in lower case."""
    found = message.inbound_key or ""
    return found if ids.is_uuid(found) else found.removeprefix(f"{message.device_id}:")


def of_messages(session: Session, message_ids: Collection[str]) -> dict[str, str]:
    """Return the phones' ids of these incoming messages, by our ids."""
    if not message_ids:
        return {}
    found = _OF_MESSAGES.all(session, message_ids=list(message_ids))
    return {row.id: phone_id(row) for row in found}


def find_message(session: Session, crm: AnyCrm, phone_id: str) -> Message | None:
    """Return the newest incoming SMS of this CRM to which some device gave this id."""
    # Of all devices, because a CRM keeps what it received from devices that it may no longer use.
    of_device = Message.inbound_key.in_(sa.select(Device.id.concat(f":{phone_id}")))
    is_it = sa.or_(of_device, Message.inbound_key == phone_id.lower())
    return session.scalars(
        sa.select(Message)
        .join(InboxEntry, InboxEntry.message_id == Message.id)
        .where(InboxEntry.crm_id == crm.id, is_it if ids.is_uuid(phone_id) else of_device)
        .order_by(Message.id.desc())
        .limit(1)
    ).first()


def message_id(session: Session, device_id: str, phone_id: str) -> str:
    """Return our id of the SMS that the device sent under this id; it must exist."""
    return session.scalars(
        sa.select(Message.id).where(Message.inbound_key == key(device_id, phone_id))
    ).one()


def find_latest(
    session: Session, device_id: str, phone_ids: Collection[str], since: datetime
) -> str | None:
    """Return the latest of these ids under which the device reported an SMS since then; `None` for none."""
    keys = {key(device_id, phone_id): phone_id for phone_id in phone_ids}
    found = session.scalars(
        sa.select(Message.inbound_key)
        .where(Message.inbound_key.in_(keys), Message.created_at >= since)
        .order_by(Message.created_at.desc())
        .limit(1)
    ).one_or_none()
    return keys[found] if found else None
