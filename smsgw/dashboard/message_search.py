"""Reads the search form of the messages, and the CRMs whose messages this person may see."""

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import NamedTuple

from flask import request

from ..core.accounts import crms
from ..core.messages.filters import MessageFilters
from ..errors import Invalid, NotFound
from ..sms import numbers, statuses
from ..store.db import Session
from . import send_form, visitors

FIELDS = (
    "q",
    "number",
    "status",
    "direction",
    "device_id",
    "crm",
    "reference",
    "since",
    "until",
    "stuck",
)
# The zone of the days.
ZONE = "zone"
MOST_CHARACTERS = 255
DIRECTIONS = ("outbound", "inbound")
_STATUSES = (*statuses.OUTBOUND, *statuses.INBOUND)


class MessageSearch(NamedTuple):
    """A choice of messages, among those of these CRMs (`None` for all)."""

    filters: MessageFilters
    crm_ids: Collection[str] | None


def read(session: Session) -> MessageSearch:
    """Return the search of this request. Raises `Invalid` for impossible values."""
    filters = MessageFilters(
        q=_text("q"),
        number=number_of_query(),
        status=_choice("status", _STATUSES),
        direction=_choice("direction", DIRECTIONS),
        device_id=_text("device_id"),
        reference=_text("reference"),
        is_stuck=_choice("stuck", ("yes",)) is not None,
        since=_day("since"),
        until=_end_of_day("until"),
    )
    return MessageSearch(filters, crm_ids(session))


def typed() -> dict[str, str]:
    """Return the fields of the search that are filled in."""
    found = {name: request.args.get(name, "").strip() for name in FIELDS}
    if found["since"] or found["until"]:
        found[ZONE] = request.args.get(ZONE, "").strip()
    return {name: value for name, value in found.items() if value}


def crm_ids(session: Session) -> Collection[str] | None:
    """Return the CRMs that this person may see, or the one of them that the query names."""
    access, name = visitors.access(session), _text("crm")
    if name is None:
        return access.crms
    crm = crms.get(session, name)
    if not access.includes(crm.id):
        raise NotFound(f"There is no CRM {name!r}.")
    return [crm.id]


def crm_names(session: Session) -> list[str]:
    """Return the names of the CRMs that this person may choose."""
    allowed = visitors.access(session).crms
    if allowed is not None:
        return sorted(allowed.values())
    return [crm.name for crm in crms.everyone(session)]


def number_of_query() -> str | None:
    """Return the number in the query as it was typed."""
    return _checked("number", numbers.from_query(request.args.get("number", "")))


def _text(name: str) -> str | None:
    return _checked(name, request.args.get(name, ""))


def _checked(name: str, value: str) -> str | None:
    value = value.strip()
    if len(value) > MOST_CHARACTERS or "\0" in value:
        raise Invalid(f"The search for {name} is too long: at most {MOST_CHARACTERS} characters.")
    return value or None


def _choice(name: str, choices: Collection[str]) -> str | None:
    value = _text(name)
    if value is not None and value not in choices:
        raise Invalid(f"There is no {name} {value!r}. Choose one of {', '.join(choices)}.")
    return value


def _day(name: str) -> datetime | None:
    value = _text(name)
    try:
        found = None if value is None else date.fromisoformat(value)
    except ValueError:
        raise Invalid(f"{value!r} is not a day. Write it as 2026-03-01.") from None
    if found is None:
        return None
    if not 1970 <= found.year < 3000:
        raise Invalid("The day must be between 1970 and 2999.")
    zone = send_form.zone(request.args.get(ZONE, ""))
    return datetime(found.year, found.month, found.day, tzinfo=zone)


def _end_of_day(name: str) -> datetime | None:
    day = _day(name)
    # In its zone, where a day may have 23 or 25 hours.
    return None if day is None else day + timedelta(days=1)
