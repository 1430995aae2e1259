"""Puts a message that failed, expired or is stuck back into the queue."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import IllegalTransition
from ...settings import Settings
from ...sms import statuses, text_hashes
from ...store import audit
from ...store.models import Crm, Dispatch, Message
from ..devices import lanes, routing
from . import queue_limits, recipients, sticky_senders
from .history import HistoryWriter

_FINAL_RESENDABLE = (statuses.FAILED, statuses.EXPIRED)


def is_resendable(message: Message) -> bool:
    """Return whether it is one that failed, expired or is stuck."""
    has_ended_badly = message.stuck_at is not None or message.status in _FINAL_RESENDABLE
    return message.direction == "outbound" and has_ended_badly


def may_arrive_twice(message: Message) -> bool:
    """Return whether the phone may have sent it anyway, so that resending it may send a second SMS."""
    return message.stuck_at is not None or message.reason_class == "unconfirmed"


def queue(session: Session, message: Message, settings: Settings, now: datetime) -> None:
    """Queue a message that failed or expired once more, or raise `IllegalTransition`.

    A message that the phone may have sent anyway (unconfirmed, stuck) needs `queue_anyway`.
    """
    if may_arrive_twice(message):
        raise IllegalTransition(
            'the phone may have sent this message; say {"may_duplicate": true} to send it all the same',
            code="may_duplicate",
            details={"status": message.status, "reason_class": message.reason_class},
        )
    queue_anyway(session, message, settings, now)


def queue_anyway(session: Session, message: Message, settings: Settings, now: datetime) -> None:
    """Queue it again, also where the SMS may then arrive twice."""
    if not is_resendable(message):
        raise IllegalTransition(
            f"the message is {message.status}; only a failed, expired or stuck one can be sent again",
            details={"status": message.status},
        )
    if message.content is None:
        raise IllegalTransition("the message's content was removed after the retention time")
    crm = session.get_one(Crm, message.crm_id)
    recipients.check_opt_out(session, crm, message.to_number or "", now)
    device_id = _device_of(session, crm, message)
    queue_limits.take_room(session, crm, settings, [device_id], now)
    session.execute(
        sa.update(Dispatch)
        .where(Dispatch.message_id == message.id, Dispatch.superseded_at.is_(None))
        .values(superseded_at=now)
    )
    fields: dict[str, list[str | None]] = {
        "status": [message.status, statuses.QUEUED],
        "reason": [message.reason, None],
    }
    audit.note(session, "message", message.id, "resend", fields=fields)
    _requeue(message, settings, now)
    sticky_senders.choose_lanes(session, crm, settings, [message], now)
    history = HistoryWriter(now)
    history.note(message, statuses.QUEUED)
    history.write(session)


def _device_of(session: Session, crm: Crm, message: Message) -> str | None:
    """Return the only device that may send the message, `None` where any device of its CRM may."""
    device_id = lanes.find_device(message.lane)
    if device_id is not None and not routing.may_use(session, crm, device_id):
        raise IllegalTransition(
            f"the message is for the device {device_id!r} alone, which this CRM may not use any more",
            code="unknown_device",
        )
    return device_id


def _requeue(message: Message, settings: Settings, now: datetime) -> None:
    lifetime = timedelta(seconds=settings.default_ttl_seconds)
    if message.expires_at is not None and message.due_at is not None:
        lifetime = message.expires_at - message.due_at
    message.status = statuses.QUEUED
    message.text_hash = text_hashes.of_text(
        message.crm_id or "", message.to_number or "", message.content or ""
    )
    message.reason = message.reason_class = message.stuck_at = None
    message.due_at = message.updated_at = now
    message.expires_at = now + lifetime
    if lanes.find_device(message.lane) is None:
        message.device_id = message.from_number = None
        message.lane = lanes.exchange(message.lane, lanes.of_crm(message.crm_id or ""))
