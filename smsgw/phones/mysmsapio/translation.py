"""Translates what a MySMSAPio app sends, over REST or its socket, into our terms once, and gives it to the core."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from ...core.devices import locking
from ...core.devices.logins import Login
from ...core.messages import (
    batches,
    dispatches,
    phone_ids,
    quarantine,
    receiving,
    report_rules,
    reports,
)
from ...core.messages.history import writing_history
from ...core.messages.receiving import Received
from ...core.messages.reports import Report
from ...errors import Invalid, NotFound
from ...settings import Settings
from ...sms import phone_times, statuses
from ...sms.texts import storable, text_of
from ...store.db import Session
from .. import repeats

HIGH_PRIORITY_ABOVE = 4

STATUS = {
    "sent": statuses.SENT,
    "delivered": statuses.DELIVERED,
    "failed": statuses.FAILED,
    "error": statuses.FAILED,
}
_APP_ID = re.compile(r"msg_([0-9a-f]{32})")


def app_id(dispatch_id: str) -> str:
    """Return the id that the app sees of one dispatch."""
    return f"msg_{UUID(dispatch_id).hex}"


def dispatch_id(seen: Any) -> str | None:
    """Return the id of the dispatch that the app names; `None` when it is not one of our ids."""
    found = _APP_ID.fullmatch(seen) if isinstance(seen, str) else None
    return str(UUID(found.group(1))) if found else None


def priority(level: int) -> str:
    """Return `high` for a priority above the default, otherwise `normal`; the protocol has no others."""
    return "high" if level > HIGH_PRIORITY_ABOVE else "normal"


def take_sms(
    session: Session, settings: Settings, login: Login, payload: dict[str, Any], now: datetime
) -> str:
    """Store an SMS that the app received and return our id of it; a repeat gets the same id.

    Raises `Invalid` for an SMS that cannot be read; `keep_unreadable` keeps that for the operator.
    """
    fault = _sms_fault(payload)
    if fault is not None:
        raise Invalid(fault)
    device = locking.admit(session, login)
    received = _received(payload, repeats.phone_id(session, device.id, payload, now))
    with writing_history(session, now) as history:
        receiving.receive(session, device, settings.default_region, [received], history)
    return phone_ids.message_id(session, login.device_id, received.phone_id)


def keep_unreadable(
    session: Session, login: Login, payload: Any, reason: str, now: datetime
) -> None:
    """Quarantine an SMS that could not be read: the app will not send it again."""
    locking.admit(session, login)
    quarantine.keep(session, login.device_id, [batches.unreadable(payload, reason)], now)


def take_status(
    session: Session, settings: Settings, login: Login, payload: dict[str, Any], now: datetime
) -> None:
    """Apply the app's report about a dispatch: `Invalid` for unknown words, `NotFound` for unknown ids."""
    word = payload.get("status")
    word = word.strip().lower() if isinstance(word, str) else None
    if word not in STATUS:
        raise Invalid(f"status must be one of {', '.join(STATUS)}")
    device = locking.admit(session, login)
    wanted = dispatch_id(payload.get("message_id"))
    dispatch = dispatches.find(session, login.device_id, wanted) if wanted else None
    if dispatch is None:
        raise NotFound("Message not found")
    reason = payload.get("error_message")
    reason = storable(reason) if isinstance(reason, str) and reason else None
    report = Report(dispatch.id, word, STATUS[word], reason)
    with writing_history(session, now) as history:
        reports.apply(session, device, [report], report_rules.NEVER_BACK, settings, history)


def _sms_fault(payload: dict[str, Any]) -> str | None:
    return receiving.fault(
        text_of(payload.get("phone_number")),
        text_of(payload.get("message_body")),
        sender_name="phone_number",
        content_name="message_body",
    )


def _received(payload: dict[str, Any], phone_id: str) -> Received:
    return Received(
        phone_id=phone_id,
        from_number=storable(text_of(payload.get("phone_number")) or ""),
        content=storable(text_of(payload.get("message_body")) or ""),
        device_received_at=phone_times.read(payload.get("received_at")),
    )
