"""Makes the fields that schemas share, each with its description."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from .fields import QueryInteger


def described(text: str, **more: Any) -> dict[str, Any]:
    """Return the metadata that documents a field."""
    return {"description": text, **more}


def text(description: str, **more: Any) -> fields.String:
    """Return a string field of a response."""
    return fields.String(required=True, metadata=described(description), **more)


def nullable(description: str, **more: Any) -> fields.String:
    """Return a string field of a response that may be null."""
    return fields.String(required=True, allow_none=True, metadata=described(description), **more)


def integer(description: str, **more: Any) -> fields.Integer:
    """Return an integer field of a response."""
    return fields.Integer(required=True, metadata=described(description), **more)


def boolean(description: str) -> fields.Boolean:
    """Return a boolean field of a response."""
    return fields.Boolean(required=True, metadata=described(description))


def date_time(description: str) -> fields.String:
    """Return a time field of a response."""
    return fields.String(required=True, metadata=described(description, format="date-time"))


def nullable_date_time(description: str) -> fields.String:
    """Return a time field of a response that may be null."""
    return fields.String(
        required=True, allow_none=True, metadata=described(description, format="date-time")
    )


def nullable_names(description: str) -> fields.List[Any]:
    """Return a field of a response that is a list of strings, or null for all of them."""
    return fields.List(
        fields.String(), required=True, allow_none=True, metadata=described(description)
    )


def list_of(schema: type[ma.Schema]) -> fields.List[Any]:
    """Return a field of a response that is a list of objects."""
    return fields.List(fields.Nested(schema), required=True)


def next_cursor() -> fields.String:
    """Return the field `next_cursor` of a page."""
    return nullable("Pass this as `cursor` to get the next page; `null` on the last page.")


def limit(default: int, most: int) -> QueryInteger:
    """Return the field `limit` of a query."""
    return QueryInteger(
        load_default=default,
        validate=validate.Range(min=1, max=most),
        metadata=described("The maximum number of results to return."),
    )


def crm_filter() -> fields.String:
    """Return the field `crm` of a query."""
    return fields.String(
        validate=validate.Length(min=1, max=100),
        metadata=described(
            "For operators: only what belongs to this CRM, given by ID or name; omit it to include all CRMs."
        ),
    )


def crm_id(description: str) -> fields.String:
    """Return a field that only operators get: the ID of the CRM that the object belongs to."""
    return fields.String(allow_none=True, metadata=described(f"For operators: {description}."))


def crm_name() -> fields.String:
    """Return a field that only operators get: that CRM's name."""
    return fields.String(
        allow_none=True, metadata=described("For operators: the name of that CRM.")
    )
