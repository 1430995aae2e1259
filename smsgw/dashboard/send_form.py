"""Reads the form of one text to many numbers."""

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from flask import session as cookie

from .. import clock
from ..core.accounts import crms
from ..core.devices import registry, routing
from ..core.messages import one_text
from ..core.messages.drafts import Draft
from ..core.messages.queueing import MAX_BATCH
from ..errors import Invalid, NotFound
from ..http.context import services
from ..local_times import parse
from ..sms import number_shapes
from ..store.db import Session
from ..store.models import Crm
from . import visitors

PRIORITIES = {"9": "Before all others", "4": "Normal", "0": "After all others"}
FIELDS = ("key", "crm", "to", "content", "device_id", "send_at", "zone", "priority")
_BETWEEN_FOR_SURE = re.compile(r"[\n;]")

# The name in the cookie of the CRM for which this person sent last.
_LAST_CRM = "last_crm"

Value = Callable[[str], str]


class Wanted(NamedTuple):
    """The messages of a form, and how many of its numbers stand there more than once."""

    crm: Crm
    drafts: Sequence[Draft]
    repeated: int


def new_key() -> str:
    """Return the `key` of a new form, which queues its messages only once."""
    return secrets.token_hex(8)


def clean(name: str, typed: str) -> str:
    """Return what was typed into a field: a text with its spaces, the line breaks as a phone sends them.

    Spaces alone are no text.
    """
    stripped = typed.strip()
    return typed.replace("\r\n", "\n") if name == "content" and stripped else stripped


def bulk_id(value: Value, prefix: str = "") -> str:
    """Return the id of the bulk of this form: equal for the same form with the same content."""
    wanted = [prefix, visitors.person().name, *(value(name) for name in FIELDS)]
    return f"blk_{hashlib.sha256(repr(wanted).encode()).hexdigest()[:32]}"


def read(session: Session, value: Value) -> Wanted:
    """Return the messages of the form. Raises `Invalid`."""
    typed = _numbers(value("to"))
    _check_count(typed)
    numbers = one_text.unique(typed, services().settings.default_region)
    send_at = moment(value("send_at"), value("zone"))
    drafts = [
        Draft(
            to=number,
            content=value("content"),
            device_id=value("device_id") or None,
            send_at=send_at,
            priority=_priority(value("priority")),
        )
        for number in numbers
    ]
    return Wanted(find_crm(session, value("crm")), drafts, len(typed) - len(numbers))


def find_crm(session: Session, name: str) -> Crm:
    """Return the CRM with this name. Raises `Invalid` if the person may not send for it."""
    try:
        crm = crms.get(session, name)
    except NotFound:
        raise _wrong("crm", "Choose a CRM.") from None
    if not visitors.access(session).includes(crm.id):
        raise _wrong("crm", "Choose a CRM.")
    return crm


def usual_crm(names: Sequence[str]) -> str:
    """Return the CRM for which this person sent last, or the only one; empty if a person must choose."""
    last = str(cookie.get(_LAST_CRM, ""))
    return last if last in names else names[0] if len(names) == 1 else ""


def remember_crm(crm: Crm) -> None:
    """Remember this CRM for the next form."""
    cookie[_LAST_CRM] = crm.name


def device_ids(session: Session) -> list[str]:
    """Return the phones that a CRM of this person may use."""
    allowed = visitors.access(session).crms
    if allowed is None:
        return [device.id for device in registry.everyone(session) if device.approved]
    return sorted(routing.usable_by_any(session, allowed))


def moment(text: str, zone_name: str) -> datetime | None:
    """Return the moment that was typed as local time in this zone. Raises `Invalid` if it is none or has passed."""
    if not text:
        return None
    try:
        found = parse(text, zone(zone_name))
    except ValueError as error:
        raise _wrong("send_at", f"{text[:40]!r} {error}") from None
    if found < clock.now():
        raise _wrong("send_at", "This time has passed. Leave it empty to send at once.")
    return found


def zone(name: str) -> ZoneInfo:
    """Return the browser's time zone, or UTC."""
    try:
        return ZoneInfo(name[:64] or "UTC")
    except (OSError, ValueError, KeyError):
        raise _wrong("send_at", f"Unknown time zone {name[:40]!r}.") from None


def _numbers(text: str) -> list[str]:
    """Return the typed numbers; `4915123456789,0` is one number, spoilt by a spreadsheet."""
    parts = [part.strip() for part in _BETWEEN_FOR_SURE.split(text)]
    found = [
        [part] if number_shapes.is_decimal(part) else map(str.strip, part.split(","))
        for part in parts
    ]
    return [number for part in found for number in part if number]


def _check_count(typed: Sequence[str]) -> None:
    if not typed:
        raise _wrong("to", "Type a number.")
    if len(typed) > MAX_BATCH:
        text = f"At most {MAX_BATCH:,} numbers at once; these are {len(typed):,}. Upload a file for more."
        raise _wrong("to", text)


def _priority(text: str) -> int:
    if text not in PRIORITIES:
        raise _wrong("priority", "Choose a priority.")
    return int(text)


def _wrong(name: str, text: str) -> Invalid:
    details: dict[str, Any] = {name: [text]}
    return Invalid(text, details=details)
