"""Describes audit entries in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...http.parsing import StrictSchema
from . import descriptions
from .descriptions import date_time, described, list_of, nullable, text
from .fields import QueryDateTime

_ACTORS = ("operator", "crm", "device", "anonymous", "cli", "server")


class AuditQuery(StrictSchema):
    """The entries to list."""

    since = QueryDateTime(
        metadata=described("Only changes since this time.", format="date-time"),
    )
    until = QueryDateTime(
        metadata=described("Only changes before this time.", format="date-time"),
    )
    actor = fields.String(
        validate=validate.Length(min=1, max=200),
        metadata=described("Only changes made by this operator, CRM or user, by ID or name."),
    )
    action = fields.String(
        validate=validate.Length(min=1, max=100),
        metadata=described("Only this action, such as `device.rotate`, or all of `device`."),
    )
    object = fields.String(
        validate=validate.Length(min=1, max=200),
        metadata=described("Only changes of this object, by ID or name."),
    )
    cursor = fields.String(
        validate=validate.Length(max=200),
        metadata=described("The `next_cursor` of the previous page."),
    )
    limit = descriptions.limit(default=50, most=200)


class AuditEntrySchema(ma.Schema):
    """The changes that one request or command made to one object."""

    id = text("The ID of the entry, `aud_…`.")
    at = date_time("The time of the change.")
    actor_kind = text(
        "Who made the change: an `operator`, a `crm` or a `device` with its key, somebody `anonymous` while "
        "registration is open, a user of the command line (`cli`), or the `server` itself.",
        validate=validate.OneOf(_ACTORS),
    )
    actor_id = nullable(
        "The name of the operator, device or user, or the ID of the CRM; `null` for the others."
    )
    actor_name = nullable("The name of the operator, CRM, device or user.")
    address = nullable("The IP address of a request.")
    action = text("What was done, such as `device.rotate` or `crm.route`.")
    object_kind = text(
        "What was changed: a `device`, `crm`, `operator`, `webhook`, `opt_out` or `message`, the `registration` of "
        "devices or CRMs, or the `quarantine`."
    )
    object_id = text("The ID of the object; operators and registrations have only a name.")
    object_name = nullable(
        "The name of the object at that time; of an opt-out, the number; `null` for a webhook or a message."
    )
    changes = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Raw(allow_none=True)),
        required=True,
        metadata=described(
            "The fields that were changed, each with its old and its new value. A secret is only `rotated`, URLs are "
            "without password and query, and `device_ids` of a CRM are the devices that were taken away and those that "
            "were added."
        ),
    )


class AuditPage(ma.Schema):
    """A page of audit entries, newest first."""

    data = list_of(AuditEntrySchema)
    next_cursor = descriptions.next_cursor()
