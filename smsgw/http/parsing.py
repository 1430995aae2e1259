"""Reads JSON bodies and query parameters of CRMs and operators with strict marshmallow schemas."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request, g
from webargs import core
from webargs.flaskparser import FlaskParser

from .. import json_reader
from ..errors import BadRequest, Invalid, NotFound
from . import bodies
from .answers import first_fault
from .context import current_request

MAX_BODY_BYTES = 16 * 1024 * 1024
# Far more than any schema has. Reporting a million unknown fields would take minutes.
MAX_FIELDS = 50
MAX_DEPTH = 20
_TWICE = "Must not be given more than once."

_UNKNOWN: dict[str, str | None] = {
    **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
    "json": ma.RAISE,
    "query": ma.RAISE,
}


class StrictSchema(ma.Schema):
    """The base of schemas for bodies and queries; refuses unknown fields and limits their number."""

    class Meta:
        unknown = ma.RAISE

    def load(self, data: Any, **options: Any) -> Any:
        """Read the data; the number of fields is checked first."""
        if not isinstance(data, dict):
            return super().load(data, **options)
        if len(data) > MAX_FIELDS:
            raise ma.ValidationError(f"Has {len(data):,} fields; at most {MAX_FIELDS} are allowed.")
        found = self._read_valid(data) if self._is_plain(options) else None
        return super().load(data, **options) if found is None else found

    def _is_plain(self, options: dict[str, Any]) -> bool:
        return not (self._has_hooks or options.get("partial") or options.get("many"))

    def _read_valid(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Read only the fields that are given, `None` where marshmallow would find a fault."""
        found: dict[str, Any] = {}
        try:
            for name, value in data.items():
                attribute, field = self._by_name[name]
                found[attribute] = field.deserialize(value, name, data)
            for attribute, field in self._not_optional:
                if attribute not in found:
                    found[attribute] = field.deserialize(ma.missing)
        except (KeyError, ma.ValidationError):
            return None
        return found

    @cached_property
    def _has_hooks(self) -> bool:
        return self.many or any(self._hooks.values())

    @cached_property
    def _by_name(self) -> dict[str, tuple[str, ma.fields.Field[Any]]]:
        return {
            field.data_key or name: (field.attribute or name, field)
            for name, field in self.load_fields.items()
        }

    @cached_property
    def _not_optional(self) -> list[tuple[str, ma.fields.Field[Any]]]:
        """Return the fields that are required or have a default."""
        return [
            (attribute, field)
            for attribute, field in self._by_name.values()
            if field.required or field.load_default is not ma.missing
        ]


class StrictParser(FlaskParser):
    """Refuses unknown fields in bodies and queries, with an error body like all others."""

    DEFAULT_UNKNOWN_BY_LOCATION = _UNKNOWN

    def read_body(self, schema: StrictSchema) -> Any:
        """Return what the schema reads from the body, as `parse` does, without its search for how to do it."""
        body = self.load_json(current_request(), schema)
        try:
            return schema.load({} if body is core.missing else body)
        except ma.ValidationError as error:
            _refuse(error.messages)

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the JSON in the body, whatever its content type; an empty body counts as `{}`."""
        body = bodies.read(MAX_BODY_BYTES)
        if not body:
            return core.missing
        parsed = g._get_current_object().parsed_body = parse_json(body)
        return parsed

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        """Return the query; refuse a repeated parameter, because only one of its values would be used."""
        twice = {name: [_TWICE] for name, values in req.args.lists() if len(values) > 1}
        if twice:
            raise ma.ValidationError(twice)
        return super().load_querystring(req, schema)

    def handle_error(
        self, error: ma.ValidationError, req: Request, schema: ma.Schema, **_kwargs: Any
    ) -> NoReturn:
        """Raise `Invalid` with the invalid fields."""
        _refuse(next(iter(error.messages_dict.values())))


def parsed_body() -> Any:
    """Return the parsed body of this request, `None` if none was read."""
    return g.get("parsed_body")


def refuse_unfit() -> None:
    """Refuse a URL with the character NUL, which PostgreSQL cannot look up."""
    asking = current_request()
    if "\0" in asking.path:
        raise NotFound("no name contains the character NUL")
    query = asking.query_string
    if query and (b"%00" in query or b"\0" in query):
        raise BadRequest("the query must not contain the character NUL")


def parse_json(body: bytes) -> Any:
    """Return the JSON in `body`; raise `BadRequest` if it is not JSON, `Invalid` if its text cannot be stored."""
    parsed = bodies.parse(body, json_reader.read_strictly)
    # JSON in UTF-8 can contain NUL and lone surrogates only as escapes.
    if b"\\u" in body:
        _refuse_unstorable(parsed)
    return parsed


def _refuse(details: Any) -> NoReturn:
    body = g.get("parsed_body", {})
    if "_schema" in details and not isinstance(body, dict):
        raise Invalid(f"the body must be a JSON object, not {json_reader.kind(body)}")
    raise Invalid(first_fault(details), details=details)


def _refuse_unstorable(parsed: Any) -> None:
    for path, text in _texts(parsed, ()):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            fault = "Must not contain the character NUL or half of a surrogate pair."
            details: Any = [fault]
            for step in reversed(path):
                details = {step: details}
            details = details if isinstance(details, dict) else {"_schema": details}
            raise Invalid(first_fault(details), details=details)


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield all strings in the value with their paths; a key has the path of its object."""
    if len(path) > MAX_DEPTH:
        raise Invalid(f"the body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield path, key
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, str(number)))
