"""Sends one text to many numbers: says what is wrong by field and number, and what the messages would be."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from ...errors import Invalid
from ...settings import Settings
from ...sms import numbers
from ...sms.segments import measure
from ...store.rows import AnyCrm
from . import pace, queueing
from .ahead import Ahead
from .drafts import Draft, Faults, check, without_row
from .pace import SendingDevice
from .queueing import Queued

_NAMED_FAULTS = 5


@dataclass(frozen=True)
class NumberPreview:
    """A number as it was typed and as it is sent to, and why it is refused."""

    typed: str
    normalised: str
    fault: str | None


@dataclass(frozen=True)
class TextPreview:
    """The messages as they would be: all their `segments`, `faults` by field, and `done_at` where a device polls."""

    segments: int
    numbers: Sequence[NumberPreview]
    faults: Mapping[str, str]
    devices: Sequence[SendingDevice]
    done_at: datetime | None
    others: Ahead


def unique(typed: Sequence[str], region: str | None) -> list[str]:
    """Return the numbers without those that are written twice, in whatever spelling."""
    first: dict[str, str] = {}
    for number in typed:
        first.setdefault(numbers.normalise(number, region), number)
    return list(first.values())


def preview(
    session: Session, crm: AnyCrm, settings: Settings, wanted: Sequence[Draft], now: datetime
) -> TextPreview:
    """Return what would become of at least one draft, all of them with the same text, device and time."""
    first, found = wanted[0], _faults(session, crm, settings, wanted, now)
    shared = _shared(found, len(wanted))
    segments = measure(first.content).segments * len(wanted)
    sending = pace.devices(session, crm, settings, first.device_id, now)
    others = pace.find_ahead(session, sending)
    begins_at = max(now, first.send_at or now)
    return TextPreview(
        segments,
        [
            NumberPreview(
                draft.to,
                numbers.normalise(draft.to, settings.default_region),
                _text(found.get(row, {}), shared),
            )
            for row, draft in enumerate(wanted)
        ],
        shared,
        sending,
        pace.done_at(sending, segments, others, begins_at),
        others,
    )


def queue(
    session: Session, crm: AnyCrm, settings: Settings, wanted: Sequence[Draft], now: datetime
) -> list[Queued]:
    """Queue all drafts or none; what is wrong stands in `details[field]`, with the numbers it is wrong for."""
    try:
        return queueing.queue_all(session, crm, settings, wanted, now)
    except Invalid as error:
        raise _by_field(error, wanted) from None


def _faults(
    session: Session, crm: AnyCrm, settings: Settings, wanted: Sequence[Draft], now: datetime
) -> Faults:
    try:
        check(session, crm, settings, dict(enumerate(wanted)), now)
    except Invalid as error:
        found: Faults = error.details["messages"]
        return found
    return {}


def _by_field(error: Invalid, wanted: Sequence[Draft]) -> Invalid:
    found: Faults | None = error.details.get("messages")
    if found is None:
        return error
    if len(wanted) == 1:
        return without_row(error)
    details: dict[str, Any] = dict(_shared(found, len(wanted)))
    each = {row: _text(fields, details) for row, fields in found.items()}
    named = [f"“{wanted[row].to}”: {text}" for row, text in each.items() if text]
    if named:
        more = [f"and {len(named) - _NAMED_FAULTS} more"] if len(named) > _NAMED_FAULTS else []
        details["to"] = " ".join([*named[:_NAMED_FAULTS], *more])
    text = f"{len(found):,} of {len(wanted):,} messages cannot be sent, so nothing was queued."
    return Invalid(text, code=error.code, details=details)


def _shared(found: Faults, count: int) -> dict[str, str]:
    """Return what is wrong with all the messages for the same reason, by field."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for fields in found.values():
        for name, each in fields.items():
            texts[name].append(each[0])
    return {
        name: each[0]
        for name, each in texts.items()
        if name != "to" and len(each) == count and len(set(each)) == 1
    }


def _text(fields: Mapping[str, list[str]], shared: Mapping[str, str]) -> str | None:
    return " ".join(texts[0] for name, texts in fields.items() if name not in shared) or None
