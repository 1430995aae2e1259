"""Limits how many items of one poll are read; the rest goes into the quarantine as one item."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ...sms.texts import storable
from .quarantine import MAX_RAW, Unreadable

# The stock app sends 10 messages and 20 updates, cht-core's acceptance tests 100 of each.
MOST_ITEMS = 1000


def split(items: Sequence[Any], what: str) -> tuple[Sequence[Any], list[Unreadable]]:
    """Return the items to read, and the rest as one item for the quarantine.

    That item has the beginning of the rest, up to 1 MiB, and says how many they are.
    """
    rest = items[MOST_ITEMS:]
    if not rest:
        return items, []
    reason = f"{len(rest):,} more {what} than the {MOST_ITEMS:,} that are read of one poll"
    return items[:MOST_ITEMS], [Unreadable(f"[{_beginning(rest)}", reason)]


def unread(body: bytes, fault: str) -> Unreadable:
    """Return a body that is not read, up to 1 MiB of it, as an item for the quarantine."""
    return Unreadable(storable(body[:MAX_RAW].decode("utf-8", "replace")), f"the body {fault}")


def unreadable(item: Any, reason: str) -> Unreadable:
    """Return an item that could not be read, up to 1 MiB of it, as an item for the quarantine."""
    return Unreadable(storable(json.dumps(item, ensure_ascii=True))[:MAX_RAW], reason)


def _beginning(items: Sequence[Any]) -> str:
    parts: list[str] = []
    size = 0
    for part in _written(items):
        parts.append(part)
        size += len(part)
        if size >= MAX_RAW:
            break
    return "".join(parts)[: MAX_RAW - 1]


def _written(items: Sequence[Any]) -> Iterator[str]:
    for number, item in enumerate(items, start=1):
        yield storable(json.dumps(item, ensure_ascii=True))
        yield "]" if number == len(items) else ", "
