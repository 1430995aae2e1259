"""Describes opt-outs in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.messages.opt_outs import LONGEST_NOTE
from ...http.parsing import StrictSchema
from . import descriptions
from .descriptions import crm_filter, date_time, described, list_of, nullable, text
from .fields import PhoneNumber, QueryInteger, QueryNumber


class NewOptOut(StrictSchema):
    """A number to put on the list."""

    number = PhoneNumber(
        required=True,
        validate=validate.Length(min=1, max=64),
        metadata=described(
            "The number, written as in `to` of a message.",
            example="+12025550123",
        ),
    )
    note = fields.String(
        allow_none=True,
        validate=validate.Length(max=LONGEST_NOTE),
        metadata=described(
            f"A note of up to {LONGEST_NOTE} characters, such as how it was asked for."
        ),
    )


class OptOutQuery(StrictSchema):
    """The numbers to list."""

    crm = crm_filter()
    number = QueryNumber(
        validate=validate.Length(max=100),
        metadata=described("Only this number, in any spelling. Encode `+` as `%2B` in a URL."),
    )
    cursor = fields.String(
        validate=validate.Length(max=200),
        metadata=described("The `next_cursor` of the previous page."),
    )
    limit = QueryInteger(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata=described("The maximum number of entries on the page."),
    )


class OptOutSchema(ma.Schema):
    """A number that opted out of a CRM's messages."""

    number = text("The number; it is compared without its `+`.")
    note = nullable("The note.")
    source = text(
        "What put the number on the list, in `opt_out.removed` what took it off: `sms` (the recipient's own message), "
        "`api` or `cli`.",
        validate=validate.OneOf(("sms", "api", "cli")),
    )
    message_id = nullable("With `sms`, the ID of that message.")
    created_at = date_time("The time the number was put on the list.")
    crm_id = descriptions.crm_id("the ID of the CRM whose list this is")
    crm = descriptions.crm_name()


class OptOutPage(ma.Schema):
    """A page of numbers, newest first."""

    data = list_of(OptOutSchema)
    next_cursor = nullable("The cursor of the next page; `null` on the last page.")
