"""Describes requests about messages."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.messages.drafts import MAX_UNITS
from ...core.messages.queueing import MAX_BATCH
from ...http.parsing import StrictSchema
from ...sms import statuses
from .descriptions import crm_filter, described
from .descriptions import limit as limit_of
from .fields import (
    BoundedList,
    DateTime,
    Metadata,
    PhoneNumber,
    QueryDateTime,
    QueryNumber,
    QuerySender,
    QueryText,
    StrictBoolean,
    StrictInteger,
)
from .messages import DIRECTIONS

LONGEST_TTL_SECONDS = 366 * 24 * 3600
_PLUS = "Encode `+` as `%2B` in a URL; an unencoded `+` before a number is understood too."


class CrmQuery(StrictSchema):
    """The CRM whose objects to list."""

    class Meta:
        # Earlier versions ignored all parameters of these lists.
        unknown = ma.EXCLUDE

    crm = crm_filter()


class DraftSchema(StrictSchema):
    """A message to send."""

    to = PhoneNumber(
        required=True,
        validate=validate.Length(min=1, max=64),
        metadata=described(
            "The recipient, as a string: an international number with `+`, a number as dialled in the server's region, "
            "or a short code. Spaces, hyphens, brackets and dots between groups are ignored. Text that a person would "
            "not read as one number, such as a spreadsheet's `4.93E+11`, is refused.",
            example="+12025550123",
        ),
    )
    content = fields.String(
        required=True,
        metadata=described(
            f"The text, 1 to {MAX_UNITS:,} UTF-16 code units.", minLength=1, maxLength=MAX_UNITS
        ),
    )
    device_id = fields.String(
        allow_none=True,
        validate=validate.Length(max=64),
        metadata=described(
            "The only device that may send it; if omitted, any of your devices may."
        ),
    )
    reference = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=255),
        metadata=described(
            "Your own ID for the message. Repeating a request with the same reference and body creates no second one."
        ),
    )
    send_at = DateTime(
        allow_none=True,
        metadata=described(
            "The earliest time to send the message; if omitted or in the past, it is sent at once.",
            format="date-time",
        ),
    )
    expires_at = DateTime(
        allow_none=True,
        metadata=described(
            "The latest time to send the message; after that, it becomes `expired`.",
            format="date-time",
        ),
    )
    ttl = StrictInteger(
        allow_none=True,
        validate=validate.Range(min=1, max=LONGEST_TTL_SECONDS),
        metadata=described(
            "An alternative to `expires_at`: the number of seconds from now, or from `send_at` if given."
        ),
    )
    priority = StrictInteger(
        allow_none=True,
        validate=validate.Range(min=0, max=9),
        metadata=described(
            "0 to 9; messages with a higher priority are sent first. Defaults to 4."
        ),
    )
    metadata = Metadata(
        allow_none=True,
        metadata=described(
            "Any JSON object of up to 8 KiB, which is returned in responses and events."
        ),
    )


class BatchSchema(StrictSchema):
    """Messages to send, either all or none."""

    messages = BoundedList(
        fields.Nested(DraftSchema),
        least=1,
        most=MAX_BATCH,
        required=True,
        metadata=described("1 to 1,000 messages."),
    )


class Resend(StrictSchema):
    """Options for sending a message again."""

    may_duplicate = StrictBoolean(
        load_default=False,
        metadata=described(
            "Set to `true` to resend even if the phone may have sent the message, so that it may arrive twice."
        ),
    )


class MessageQuery(StrictSchema):
    """Filters for a list of messages."""

    crm = crm_filter()
    direction = fields.String(
        validate=validate.OneOf(DIRECTIONS),
        metadata=described("Only messages that were received (`inbound`) or sent (`outbound`)."),
    )
    status = fields.String(
        validate=validate.OneOf((*statuses.OUTBOUND, *statuses.INBOUND)),
        metadata=described("Only messages with this status."),
    )
    device_id = fields.String(
        validate=validate.Length(max=64), metadata=described("Only messages of this device.")
    )
    from_ = QuerySender(
        data_key="from",
        validate=validate.Length(max=100),
        metadata=described(
            f"Only messages from this number, in any format, or from this name. {_PLUS}"
        ),
    )
    to = QueryNumber(
        validate=validate.Length(max=100),
        metadata=described(f"Only messages to this number, in any format. {_PLUS}"),
    )
    reference = fields.String(
        validate=validate.Length(max=255),
        metadata=described("Only messages with this `reference`."),
    )
    q = QueryText(
        validate=validate.Length(min=1, max=200),
        metadata=described(
            "Only messages with this text in the content, a number or the reference, ignoring case (full Unicode case "
            "folding, NFC)."
        ),
    )
    since = QueryDateTime(
        metadata=described("Only messages created at or after this time.", format="date-time")
    )
    until = QueryDateTime(
        metadata=described("Only messages created before this time.", format="date-time")
    )
    cursor = fields.String(
        validate=validate.Length(max=200),
        metadata=described("The `next_cursor` of the previous page."),
    )
    limit = limit_of(default=50, most=200)
