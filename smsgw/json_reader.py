"""Reads JSON, and reports errors in one line with their place."""

import codecs
import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

# Python reads no whole number of more than 4,300 digits.
LONGEST_NUMBER = 4000
LONGEST_INT = 30
LONGEST_KEY = 40
# A string, or a number or word outside of one: a mistake in those has no position in Python's reader.
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+"|-?Infinity|NaN|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?', re.DOTALL
)
# What programs send where somebody gave them fields instead of a text: `to=%2B1…`, or parts of a multipart body.
_FORM = re.compile(r"--[^\s]{8,}\r\n|[\w.%+-]{1,40}(?:\[\])?=")
_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (b"\x1f\x8b", "gzip without a Content-Encoding"),
)


class InvalidJson(ValueError):
    """The text is not JSON; the message says where and why, and holds no more of the text than a key."""


def read(text: bytes | str) -> Any:
    """Return the value in a JSON text in UTF-8, with or without a byte order mark; raise `InvalidJson` if it is none.

    Numbers that no program could use are refused. Where a key stands twice in an object, the last one counts.
    """
    return _read(text, _PLAIN)


def read_strictly(text: bytes | str) -> Any:
    """Return the value as `read` does, but refuse a duplicate key in an object."""
    return _read(text, _STRICT)


def read_tolerantly(text: bytes | str) -> Any:
    """Read the same for phones, which repeat endlessly what is refused.

    A number that no program could use, or that JSON does not have, is read as `None`.
    """
    return _read(text, _TOLERANT)


def kind(value: Any) -> str:
    """Return the kind of a JSON value for a message, such as `a list`."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _read(sent: bytes | str, decoder: json.JSONDecoder) -> Any:
    text = _decoded(sent)
    if not text.strip():
        raise InvalidJson("invalid JSON at line 1 column 1: there is no text")
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        if _FORM.match(text):
            raise InvalidJson(
                "invalid JSON at line 1 column 1: this is a form; send JSON"
            ) from None
        reason = error.msg.removesuffix(" starting at").removesuffix(" at")
        raise _fault(text, error.pos, reason[:1].lower() + reason[1:]) from None
    except _Unusable:
        raise _unusable(text) from None
    except RecursionError:
        raise InvalidJson("invalid JSON: nested too deeply") from None


def _decoded(text: bytes | str) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    for mark, name in _OTHER_ENCODINGS:
        if text.startswith(mark):
            raise InvalidJson(f"invalid JSON at line 1 column 1: this is {name}; send UTF-8")
    if b"\0" in text[:4]:
        raise InvalidJson("invalid JSON at line 1 column 1: this is UTF-16 or UTF-32; send UTF-8")
    unmarked = text.removeprefix(codecs.BOM_UTF8)
    try:
        return unmarked.decode()
    except UnicodeDecodeError as error:
        before = unmarked[: error.start].decode()
        reason = f"the byte 0x{unmarked[error.start]:02x} is not UTF-8"
        raise _fault(before, len(before), reason) from None


def _fault(text: str, position: int, reason: str) -> InvalidJson:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return InvalidJson(f"invalid JSON at line {line} column {column}: {reason}")


class _Unusable(Exception):
    """JSON has no such number."""


def _unusable(text: str) -> InvalidJson:
    for found in _TOKEN.finditer(text):
        token = found.group()
        if token[-1] in "yN":
            return _fault(text, found.start(), f"{token} is no JSON")
        if token[0] != '"' and (len(token) > LONGEST_NUMBER or not math.isfinite(float(token))):
            return _fault(text, found.start(), "the number is too large")
    return InvalidJson("invalid JSON: a number is too large")


def _refuse(_word: str) -> NoReturn:
    raise _Unusable


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise _Unusable
    return int(digits)


def _whole_or_none(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_INT else None


def _finite_or_none(digits: str) -> float | None:
    number = float(digits)
    return None if math.isinf(number) else number


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Unusable
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise InvalidJson(f"invalid JSON: duplicate key {twice[:LONGEST_KEY]!r}")
    return made


# Made once: making one takes as long as reading a short text.
_PLAIN = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_refuse)
_STRICT = json.JSONDecoder(
    parse_int=_whole, parse_float=_finite, parse_constant=_refuse, object_pairs_hook=_object
)
_TOLERANT = json.JSONDecoder(
    parse_int=_whole_or_none, parse_float=_finite_or_none, parse_constant=lambda _word: None
)
