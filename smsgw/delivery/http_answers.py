"""Reads an HTTP answer from the bytes received so far."""

import email.utils
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

FINAL = 200
SWITCHING = 101


@dataclass(frozen=True)
class Head:
    """The status and header of an answer, with names in lower case."""

    status_code: int
    header: Mapping[str, str]


def head_of(received: bytes) -> Head | None:
    """Return the head of the final answer, which may follow some 1xx; `None` while it is incomplete.

    101 counts as final, because nothing in HTTP comes after it. `received` are header lines that libcurl has checked.
    """
    text = received.decode("latin-1").replace("\r\n", "\n")
    while text:
        block, blank_line, text = text.partition("\n\n")
        first, *lines = block.split("\n")
        status_code = int(first.split()[1])
        if blank_line and (status_code >= FINAL or status_code == SWITCHING):
            return Head(status_code, dict(map(_field, lines)))
    return None


def text_of(body: bytes, head: Head) -> str:
    """Return the text of a body for the log. The body may be cut anywhere. PostgreSQL takes no NUL."""
    if head.header.get("content-encoding", "identity").lower() != "identity":
        return "(compressed, though we asked for identity)" if body else ""
    return body.decode("utf-8", "replace").replace("\x00", "")


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds to wait by a `Retry-After` header (RFC 9110 10.2.3), which holds seconds or a date.

    `None` for no header or an invalid one; 0 for a date that has passed.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header, now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
