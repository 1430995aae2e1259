"""Writes values as people read them: times, numbers of phones, texts, statuses."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from .. import clock, logs
from ..core.accounts.roles import VIEWER
from ..core.devices.advice import Advice
from ..core.operations import spans
from ..http import masking
from ..sms import statuses
from . import visitors

_NAMED_CRMS = 3
# Of these the text says which one it is.
_NAMED_BY_ID = ("webhook", "bulk")
# As checks write them.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d) UTC")
# Words to read to a caller; the time of the status follows.
_STATUS_WORDS = {
    statuses.QUEUED: "Waiting since",
    statuses.DISPATCHED: "Handed to the phone at",
    statuses.ACCEPTED: "On the phone since",
    statuses.SENDING: "Sending since",
    statuses.SENT: "Delivering since",
    statuses.DELIVERED: "Delivered at",
    statuses.FAILED: "Failed at",
    statuses.EXPIRED: "Expired at",
    statuses.CANCELLED: "Cancelled at",
    statuses.RECEIVED: "Received at",
}
# Names of audited fields; others are their columns without underscores.
_FIELD_WORDS = {
    "uses_all_crms": "all CRMs",
    "crms": "CRMs",
    "uses_all_devices": "all phones",
    "device_ids": "phones",
    "owner_crm_id": "owner",
}
_STATUS_STATES = {
    statuses.DELIVERED: "ok",
    statuses.RECEIVED: "ok",
    statuses.FAILED: "wrong",
    statuses.EXPIRED: "wrong",
    statuses.CANCELLED: "warning",
}


def time(moment: datetime | str | None, shape: str = "moment") -> Markup:
    """Return a `<time>` in UTC, which a script turns into the viewer's zone: `moment`, `clock` or `day`."""
    if moment is None:
        return Markup('<span class="faint">never</span>')
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    moment = moment.astimezone(UTC)
    shown = {"moment": "%Y-%m-%d %H:%M", "clock": "%H:%M", "day": "%Y-%m-%d"}[shape]
    return Markup('<time datetime="{}" data-shape="{}" title="{}">{} UTC</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        shape,
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        moment.strftime(shown),
    )


def number(value: str | None) -> Markup:
    """Return a number of a phone, for viewers with its ends alone."""
    if not value:
        return Markup('<span class="faint">none</span>')
    shown = masking.number(value) if _is_masked() else value
    return Markup('<bdi class="number">{}</bdi>').format(shown)


def text(value: str | None) -> Markup:
    """Return the text of an SMS or what others wrote, for viewers without whole numbers. htmx leaves it alone."""
    shown = logs.redact(value or "") if _is_masked() else value or ""
    return Markup('<bdi class="text" hx-ignore>{}</bdi>').format(shown)


def words(value: str) -> str:
    """Return words of ours, for viewers without the whole numbers that may be in them."""
    return logs.redact(value) if _is_masked() else value


def finding_text(value: str) -> Markup:
    """Return what a check found, with its times in the viewer's zone."""
    escaped = str(escape(words(value)))
    return Markup(_MOMENT.sub(lambda found: time(f"{found[1]}+00:00"), escaped))


def raw(value: str) -> Markup:
    """Return what a program sent, with characters that show nothing or turn others round as `\\u202e`."""
    shown = "".join(
        f"\\u{ord(each):04x}" if unicodedata.category(each) == "Cf" else each for each in value
    )
    return Markup("<bdi hx-ignore>{}</bdi>").format(shown)


def status(shape: dict[str, Any]) -> Markup:
    """Return the status of a message as REST shows it, in words that can be read to a caller."""
    word, send_at = str(shape["status"]), shape.get("send_at")
    if word == statuses.QUEUED and shape.get("is_paused"):
        return Markup('<span class="status warning">Paused since {}</span>').format(
            time(shape["updated_at"])
        )
    if word == statuses.QUEUED and send_at and datetime.fromisoformat(send_at) > clock.now():
        return Markup('<span class="status under-way">To be sent at {}</span>').format(
            time(send_at)
        )
    at = shape.get(f"{word}_at") or shape.get("updated_at") or shape.get("created_at")
    return Markup('<span class="status {}">{} {}</span>').format(
        _STATUS_STATES.get(word, "under-way"), _STATUS_WORDS.get(word, word), time(at)
    )


def crm_names(shape: dict[str, Any]) -> str:
    """Return the CRM that queued the message as operators see it, or the first of those for which it came in."""
    names = [shape["crm"]] if shape["crm"] else [one["crm"] for one in shape.get("received_by", [])]
    more = f" and {len(names) - _NAMED_CRMS} more" if len(names) > _NAMED_CRMS else ""
    return f"{', '.join(names[:_NAMED_CRMS])}{more}"


def sentence(words: str) -> Markup:
    """Return words that begin with a small letter as a sentence, without its full stop."""
    return escape(f"{words[:1].upper()}{words[1:]}")


def field_name(name: str) -> str:
    """Return what an audited field is called: `all CRMs`."""
    return _FIELD_WORDS.get(name, name.replace("_", " "))


def field_value(value: Any) -> str:
    """Return a value of an audited field in words: `yes`, `none`, `one, two`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def advice(step: Advice) -> Markup:
    """Return what to do, for a page, as sentences."""
    found = sentence(step.page or step.text)
    return found if found.endswith(("?", ".")) else found + "."


def check_name(check: str) -> str:
    """Return the name of a check, with a colon unless what follows is a sentence about it: `Device phone-1`."""
    kind, _, subject = check.partition(" ")
    if subject and kind in _NAMED_BY_ID:
        return kind.capitalize()
    name = f"{check[:1].upper()}{check[1:]}".replace("Public url", "Public URL")
    is_subject = subject and kind in ("device", "crm")
    return name.replace("Crm ", "CRM ") if is_subject else f"{name}:"


def count(value: int) -> str:
    """Return `12,345`."""
    return f"{value:,}"


def span(seconds: int) -> str:
    """Return `40 seconds`, `5 minutes`, `3 hours` or `2 days`."""
    return spans.text(timedelta(seconds=seconds))


def pairs(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return options of a select or of boxes, each with its own word as its text."""
    return [(word, word) for word in words]


def _is_masked() -> bool:
    return visitors.person().role == VIEWER
