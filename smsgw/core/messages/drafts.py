"""Checks what a CRM asks to send, and makes the message of it."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339_or_none
from ...errors import Invalid
from ...settings import Settings
from ...sms import numbers, statuses, text_hashes
from ...sms.segments import measure
from ...store.rows import AnyCrm, MessageRow
from ..devices import lanes, routing
from . import recipients

MAX_UNITS = 1600
_WRITER = json.JSONEncoder(sort_keys=True)

# By row and field.
Faults = Mapping[int, Mapping[str, list[str]]]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A message that a CRM asks to be sent. `ttl_seconds` counts from `send_at` or now, instead of `expires_at`."""

    to: str
    content: str
    device_id: str | None = None
    reference: str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    ttl_seconds: int | None = None
    priority: int = 4
    metadata: dict[str, Any] | None = field(default=None, hash=False)

    def request_hash(self) -> str:
        """Return a hash, equal for equal requests: it tells a repeat of a `reference` from a different message."""
        wanted = [
            self.to,
            self.content,
            self.device_id,
            rfc3339_or_none(self.send_at),
            rfc3339_or_none(self.expires_at),
            self.ttl_seconds,
            self.priority,
            self.metadata,
        ]
        return hashlib.sha256(_WRITER.encode(wanted).encode()).hexdigest()


def check_one(
    session: Session, crm: AnyCrm, settings: Settings, draft: Draft, now: datetime
) -> None:
    """Raise `Invalid` where the draft cannot be sent, with `details[field]`."""
    try:
        check(session, crm, settings, {0: draft}, now)
    except Invalid as error:
        raise without_row(error) from None


def check_form(
    crm: AnyCrm, settings: Settings, draft: Draft, usable: Collection[str], now: datetime
) -> None:
    """Check a draft, except its recipient, where it is known whether the device it names is `usable`."""
    faults = _faults(crm, settings, draft, usable, now)
    if faults:
        raise without_row(_error({0: faults}, 1))


def room(content: str) -> int:
    """Return how much longer a text may become, in UTF-16 units; below 0 where it is too long already."""
    return MAX_UNITS - len(content.encode("utf-16-le", "surrogatepass")) // 2


def without_row(error: Invalid) -> Invalid:
    """Return the same error for the only draft of a request: its faults are in `details[field]`."""
    return Invalid(error.message, code=error.code, details=error.details["messages"][0])


def check(
    session: Session, crm: AnyCrm, settings: Settings, drafts: Mapping[int, Draft], now: datetime
) -> dict[int, MessageRow]:
    """Return the message that each becomes; `Invalid` where any cannot be sent, with `details["messages"][row][field]`.

    Of drafts with the same `reference` only the first is a message, and counts for the loop guard.
    """
    usable = _usable(session, crm, drafts.values())
    faults = {row: _faults(crm, settings, draft, usable, now) for row, draft in drafts.items()}
    made = {
        row: message_row(crm, settings, draft, now)
        for row, draft in drafts.items()
        if not faults[row]
    }
    refusals = recipients.faults(session, _recipients(crm, made), now)
    for row, refusal in refusals.items():
        faults[row] = {refusal.field: [refusal.text]}
    wrong = {row: found for row, found in faults.items() if found}
    if wrong:
        codes = {refusals[row].code if row in refusals else Invalid.code for row in wrong}
        raise _error(wrong, len(drafts), codes.pop() if len(codes) == 1 else Invalid.code)
    return made


def message_row(crm: AnyCrm, settings: Settings, draft: Draft, now: datetime) -> MessageRow:
    """Return the queued message of the draft."""
    measured = measure(draft.content)
    number = numbers.normalise(draft.to, settings.default_region)
    return MessageRow(
        id=ids.new_message_id(),
        direction="outbound",
        status=statuses.QUEUED,
        crm_id=crm.id,
        device_id=draft.device_id,
        lane=_lane(crm, draft),
        to_number=number,
        content=draft.content,
        encoding=measured.encoding,
        segments=measured.segments,
        text_hash=text_hashes.of_text(crm.id, number, draft.content),
        reference=draft.reference,
        request_hash=draft.request_hash(),
        metadata_=draft.metadata,
        priority=draft.priority,
        send_at=draft.send_at,
        due_at=max(now, draft.send_at or now),
        expires_at=_expiry(settings, draft, now),
        created_at=now,
        updated_at=now,
    )


def _recipients(crm: AnyCrm, made: Mapping[int, MessageRow]) -> dict[int, recipients.Recipient]:
    first: dict[str, int] = {}
    for row, message in made.items():
        first.setdefault(message.reference or message.id, row)
    return {row: recipients.of_row(crm, made[row]) for row in first.values()}


def _usable(session: Session, crm: AnyCrm, drafts: Collection[Draft]) -> set[str]:
    wanted = {draft.device_id for draft in drafts if draft.device_id is not None}
    return routing.usable(session, crm, wanted)


def _error(faults: Faults, count: int, code: str = Invalid.code) -> Invalid:
    """Return an error that says what is wrong with some of so many drafts."""
    row, fields = next(iter(faults.items()))
    name, texts = next(iter(fields.items()))
    where = f"messages.{row}.{name}" if count > 1 else name
    return Invalid(f"{where}: {texts[0]}", code=code, details={"messages": faults})


def _faults(
    crm: AnyCrm, settings: Settings, draft: Draft, usable: Collection[str], now: datetime
) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    number_fault = _number_fault(crm, settings, draft.to)
    if number_fault:
        faults["to"] = [number_fault]
    content_fault = _content_fault(draft.content)
    if content_fault:
        faults["content"] = [content_fault]
    if draft.device_id is not None and draft.device_id not in usable:
        faults["device_id"] = ["There is no such device, or this CRM may not use it."]
    if not 0 <= draft.priority <= 9:
        faults["priority"] = ["Must be from 0 to 9."]
    if draft.ttl_seconds is not None and draft.expires_at is not None:
        faults["ttl"] = ["Give either ttl or expires_at."]
    if _expiry(settings, draft, now) <= max(now, draft.send_at or now):
        faults["expires_at"] = ["Must be later than now and than send_at."]
    return faults


def _number_fault(crm: AnyCrm, settings: Settings, number: str) -> str | None:
    """Return why a phone cannot send to this number, or why this CRM refuses it; `None` when it can be sent."""
    fault = numbers.refusal(number, settings.default_region)
    if fault is not None:
        return fault
    if crm.strict_numbers and not numbers.is_e164(
        numbers.normalise(number, settings.default_region)
    ):
        return "Not a complete international number, which this CRM insists on (strict_numbers)."
    return None


def _content_fault(content: str) -> str | None:
    """Return why this text cannot be sent; `None` when it can."""
    if "\0" in content:
        return "Must not contain the character NUL."
    try:
        units = len(content.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        return "Must not contain half of a surrogate pair."
    if not 1 <= units <= MAX_UNITS:
        return f"Must have 1 to {MAX_UNITS} characters; it has {units}."
    return None


def _expiry(settings: Settings, draft: Draft, now: datetime) -> datetime:
    if draft.expires_at is not None:
        return draft.expires_at
    ttl_seconds = settings.default_ttl_seconds if draft.ttl_seconds is None else draft.ttl_seconds
    return max(now, draft.send_at or now) + timedelta(seconds=ttl_seconds)


def _lane(crm: AnyCrm, draft: Draft) -> str:
    if draft.device_id is None:
        return lanes.of_crm(crm.id)
    return lanes.of_only_device(draft.device_id)
