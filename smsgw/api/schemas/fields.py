"""Provides fields of bodies and queries that marshmallow does not have."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ...settings import HIGHEST_LIMIT
from ...sms import numbers

MAX_METADATA_BYTES = 8192
MAX_METADATA_LEVELS = 10
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_DECODED_ZONE = re.compile(r"(:\d{2}(?:\.\d+)?) +(\d{2}:\d{2})$", re.ASCII)
_WHOLE = re.compile("-?[0-9]{1,18}")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(3000, 1, 1, tzinfo=UTC)


class DateTime(fields.Field[datetime]):
    """An RFC 3339 time with a zone, between 1970 and 2999, read as an aware `datetime` in UTC."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        if not isinstance(value, str) or not _RFC3339.fullmatch(value):
            raise ma.ValidationError("Not a time with a zone, such as 2026-03-01T12:00:00Z.")
        try:
            date_time = datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ma.ValidationError("There is no such time.") from None
        if not _EARLIEST <= date_time < _LATEST:
            raise ma.ValidationError("Must be between 1970 and 2999.")
        return date_time


class PhoneNumber(fields.String):
    """A telephone number as a string; a JSON number has lost its `+` and leading zeros."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        if not isinstance(value, str):
            raise ma.ValidationError(
                'Must be a string, such as "+12025550123": a JSON number loses its + and leading zeros.'
            )
        return value


class QueryDateTime(DateTime):
    """A time in a query; accepts a space where the `+` before the zone was not encoded."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> datetime:
        text = _DECODED_ZONE.sub(r"\1+\2", value) if isinstance(value, str) else value
        return super()._deserialize(text, attr, data, **kwargs)


class QueryText(fields.String):
    """A text to search for; a text that is a number is read as `QueryNumber` reads it."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        number = numbers.from_query(text)
        return number if numbers.is_dialable(number) else text


class QueryNumber(fields.String):
    """A telephone number in a query; accepts a space where a `+` was not encoded."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> str:
        number = numbers.from_query(super()._deserialize(value, attr, data, **kwargs))
        fault = self._fault(number)
        if fault is not None:
            raise ma.ValidationError(f"{fault} Write + as %2B in a URL.")
        return number

    def _fault(self, number: str) -> str | None:
        return numbers.refusal(number, None)


class QuerySender(QueryNumber):
    """A telephone number in a query, or a sender's name or code."""

    def _fault(self, number: str) -> str | None:
        is_name = any(map(str.isalnum, number)) and not number.startswith("+")
        return None if is_name else super()._fault(number)


class StrictInteger(fields.Integer):
    """A JSON integer; refuses `"4"` and `true`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ma.ValidationError("Not a whole number.")
        return value


class QueryInteger(fields.Integer):
    """An integer in a query, in ASCII digits only."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> int:
        if not isinstance(value, str) or not _WHOLE.fullmatch(value):
            raise ma.ValidationError("Not a whole number.")
        return int(value)


class Metadata(fields.Dict):
    """Any JSON object of at most 8 KiB and ten levels of nesting."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> Any:
        if not isinstance(value, dict):
            raise ma.ValidationError("Not a JSON object.")
        if not _is_shallow(value, MAX_METADATA_LEVELS):
            raise ma.ValidationError(
                f"Must not be nested deeper than {MAX_METADATA_LEVELS} levels."
            )
        size = len(json.dumps(value, ensure_ascii=False).encode())
        if size > MAX_METADATA_BYTES:
            raise ma.ValidationError(
                f"Must not be longer than {MAX_METADATA_BYTES} bytes as JSON; this has {size}."
            )
        return value


class BoundedList(fields.List[Any]):
    """A list of at most `most` items, whose length is checked before any of them is read."""

    def __init__(
        self, item: fields.Field[Any], *, most: int, least: int | None = None, **options: Any
    ) -> None:
        self.length = validate.Length(min=least, max=most)
        super().__init__(item, validate=self.length, **options)

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> list[Any]:
        if isinstance(value, list):
            self.length(value)
        return super()._deserialize(value, attr, data, **kwargs)


class StrictBoolean(fields.Boolean):
    """A JSON boolean; refuses `"yes"` and `1`."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any
    ) -> bool:
        if not isinstance(value, bool):
            raise ma.ValidationError("Not true or false.")
        return value


def limit_or_setting(description: str) -> StrictInteger:
    """Return a field of a request that sets a limit, or that leaves it to the server's setting by null."""
    return StrictInteger(
        allow_none=True,
        validate=validate.Range(min=1, max=HIGHEST_LIMIT),
        metadata={"description": f"{description}; `null` applies the server's setting."},
    )


def _is_shallow(value: Any, levels: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels >= 0 and all(_is_shallow(item, levels - 1) for item in items)
