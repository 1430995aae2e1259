"""Reads and writes the demo server's JSON in the same form as the original's JavaScript."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any


class Failed(Exception):
    """Ends a request with a 500 and this text as `err`, as the original does for every error."""


def parsed_json(body: bytes) -> Any:
    if not body.strip():
        raise Failed("The body is empty, JSON was expected.")
    try:
        return json.loads(body, parse_constant=not_json)
    except (ValueError, RecursionError) as error:
        raise Failed(f"The body is not valid JSON: {error}") from error


def not_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def readable(body: bytes) -> Any:
    """Return the body as JSON if it is JSON, otherwise as text."""
    try:
        return parsed_json(body)
    except Failed:
        return body.decode("utf-8", "replace")


def lists(body: Any, *keys: str) -> list[list[Any]]:
    """Return the list under each of these keys of a phone's request."""
    if body is None:
        raise Failed(f"The body is null, an object with {' and '.join(keys)} was expected.")
    return [listed(body, key) for key in keys]


def listed(body: Any, key: str) -> list[Any]:
    """Return the list under `key`; absent, null and an object count as empty, as in the original."""
    value = body.get(key) if isinstance(body, dict) else None
    if value is None or isinstance(value, dict):
        return []
    if not isinstance(value, list):
        raise Failed(f'"{key}" must be a list.')
    return value


def contents(asked: bytes, answered: bytes) -> Iterator[str]:
    """Yield a line for each SMS and each report of a poll that was answered with 200."""
    messages, updates = lists(json.loads(asked), "messages", "updates")
    for item in map(fields, messages):
        yield f"from {item['from']}: {item['content']}"
    for item in map(fields, updates):
        reason = f" ({item['reason']})" if "reason" in item else ""
        yield f"{item['id']} is {item['status']}{reason}"
    for item in map(fields, json.loads(answered)["messages"]):
        yield f"to {item['to']}: {item['content']}"


def fields(item: Any) -> defaultdict[str, Any]:
    """Return the fields of a message or report, which may be anything and lack any of them."""
    return defaultdict(lambda: "?", item if isinstance(item, dict) else {"content": item})


def as_text(error: Any) -> str:
    """Return a queued error as JavaScript would print it."""
    if isinstance(error, dict):
        return "[object Object]"
    if isinstance(error, list):
        return ",".join("" if item is None else as_text(item) for item in error)
    return error if isinstance(error, str) else json.dumps(error)


def url_parts(url: str) -> dict[str, str | None]:
    """Return the twelve keys that the original prints with an error: Node's `url.parse` of a path."""
    path, mark, query = url.partition("?")
    nothing = ("protocol", "slashes", "auth", "host", "port", "hostname", "hash")
    rest = {"search": mark + query if mark else None, "query": query if mark else None}
    return dict.fromkeys(nothing) | rest | {"pathname": path, "path": url, "href": url}


def indented(value: Any) -> bytes:
    # a lone surrogate has no UTF-8: JSON.stringify writes it as an escape, and so does this
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")


def compact(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")
