"""Makes the fields that schemas share, each with its description."""

from typing import Any

from marshmallow import fields, validate


def described(text: str, **more: Any) -> dict[str, Any]:
    """Return the metadata that documents a field."""
    return {"description": text, **more}


def text(description: str, **more: Any) -> fields.String:
    """Return a field of an answer that is always a text."""
    return fields.String(required=True, metadata=described(description), **more)


def nullable(description: str, **more: Any) -> fields.String:
    """Return a field of an answer that is a text or null."""
    return fields.String(required=True, allow_none=True, metadata=described(description), **more)


def date_time(description: str) -> fields.String:
    """Return a field of an answer that is a time."""
    return fields.String(required=True, metadata=described(description, format="date-time"))


def nullable_date_time(description: str) -> fields.String:
    """Return a field of an answer that is a time or null."""
    return fields.String(
        required=True, allow_none=True, metadata=described(description, format="date-time")
    )


def crm_filter() -> fields.String:
    """Return the field `crm` of a query."""
    return fields.String(
        validate=validate.Length(min=1, max=100),
        metadata=described("For operators: of this CRM, by id or name; left out, of all."),
    )


def crm_id(whose: str) -> fields.String:
    """Return a field that only operators get: the id of the CRM that the object belongs to."""
    return fields.String(allow_none=True, metadata=described(f"For operators: {whose}."))


def crm_name() -> fields.String:
    """Return a field that only operators get: that CRM's name."""
    return fields.String(allow_none=True, metadata=described("For operators: that CRM's name."))
