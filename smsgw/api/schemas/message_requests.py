"""Describes requests about messages."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.messages.drafts import MAX_UNITS
from ...core.messages.queueing import MAX_BATCH
from ...http.parsing import StrictSchema
from ...sms import statuses
from .descriptions import (
    crm_filter,
    described,
)
from .fields import (
    BoundedList,
    DateTime,
    Metadata,
    PhoneNumber,
    QueryDateTime,
    QueryInteger,
    QueryNumber,
    QuerySender,
    QueryText,
    StrictBoolean,
    StrictInteger,
)
from .messages import DIRECTIONS

LONGEST_TTL_SECONDS = 366 * 24 * 3600
_PLUS = "A `+` is `%2B` in a URL; a bare one before a number is understood."


class CrmQuery(StrictSchema):
    """Of which CRM."""

    class Meta:
        # These lists took no parameters at first, and whatever stood there was passed over.
        unknown = ma.EXCLUDE

    crm = crm_filter()


class DraftSchema(StrictSchema):
    """A message to be sent."""

    to = PhoneNumber(
        required=True,
        validate=validate.Length(min=1, max=64),
        metadata=described(
            "Who is to get it: an international number with `+`, a number as dialled in the server's region, or a "
            "short code, as a text. Blanks, hyphens, brackets and the dots between groups do not matter; what a person "
            "would not read as one number, such as a spreadsheet's `4.93E+11`, is refused.",
            example="+12025550123",
        ),
    )
    content = fields.String(
        required=True,
        metadata=described(
            f"The text, 1 to {MAX_UNITS:,} UTF-16 units.", minLength=1, maxLength=MAX_UNITS
        ),
    )
    device_id = fields.String(
        allow_none=True,
        validate=validate.Length(max=64),
        metadata=described("The device that is to send it; left out, any device of yours may."),
    )
    reference = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=255),
        metadata=described(
            "Your own id for it. Sent twice with the same body, it makes one message."
        ),
    )
    send_at = DateTime(
        allow_none=True,
        metadata=described("Not before this time. Left out or past: at once.", format="date-time"),
    )
    expires_at = DateTime(
        allow_none=True,
        metadata=described("Not after this time; then it becomes `expired`.", format="date-time"),
    )
    ttl = StrictInteger(
        allow_none=True,
        validate=validate.Range(min=1, max=LONGEST_TTL_SECONDS),
        metadata=described(
            "Instead of `expires_at`, not besides it: seconds from now or from `send_at`."
        ),
    )
    priority = StrictInteger(
        allow_none=True,
        validate=validate.Range(min=0, max=9),
        metadata=described("0 to 9, higher ones are sent first; 4 when left out."),
    )
    metadata = Metadata(
        allow_none=True,
        metadata=described(
            "Any JSON object of yours, up to 8 KiB; it comes back in answers and events."
        ),
    )


class BatchSchema(StrictSchema):
    """Messages to be sent, all or none."""

    messages = BoundedList(
        fields.Nested(DraftSchema),
        least=1,
        most=MAX_BATCH,
        required=True,
        metadata=described("1 to 1,000 messages."),
    )


class Resend(StrictSchema):
    """Whether to send again what may have been sent."""

    may_duplicate = StrictBoolean(
        load_default=False,
        metadata=described("Also where the phone may have sent it, so that it may arrive twice."),
    )


class MessageQuery(StrictSchema):
    """Which messages to list."""

    crm = crm_filter()
    direction = fields.String(
        validate=validate.OneOf(DIRECTIONS),
        metadata=described("`inbound`: received; `outbound`: to be sent."),
    )
    status = fields.String(
        validate=validate.OneOf((*statuses.OUTBOUND, *statuses.INBOUND)),
        metadata=described("In this status now."),
    )
    device_id = fields.String(
        validate=validate.Length(max=64), metadata=described("Of this device.")
    )
    from_ = QuerySender(
        data_key="from",
        validate=validate.Length(max=100),
        metadata=described(f"From this number, in any spelling, or from this name. {_PLUS}"),
    )
    to = QueryNumber(
        validate=validate.Length(max=100),
        metadata=described(f"To this number, in any spelling. {_PLUS}"),
    )
    reference = fields.String(
        validate=validate.Length(max=255), metadata=described("With this reference.")
    )
    q = QueryText(
        validate=validate.Length(min=1, max=200),
        metadata=described(
            "With this in the content, a number or the reference, whatever its case (full Unicode case folding, NFC)."
        ),
    )
    since = QueryDateTime(metadata=described("Made at this time or later.", format="date-time"))
    until = QueryDateTime(metadata=described("Made before this time.", format="date-time"))
    cursor = fields.String(
        validate=validate.Length(max=200),
        metadata=described("The `next_cursor` of the page before."),
    )
    limit = QueryInteger(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata=described("How many at most."),
    )
