"""Describes messages in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.messages.drafts import MAX_UNITS
from ...core.messages.queueing import MAX_BATCH
from ...http.parsing import StrictSchema
from ...sms import statuses
from .descriptions import (
    crm_filter,
    crm_id,
    crm_name,
    date_time,
    described,
    nullable,
    nullable_date_time,
    text,
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

LONGEST_TTL_SECONDS = 366 * 24 * 3600
DIRECTIONS = ("inbound", "outbound")
REASON_CLASSES = ("permanent", "temporary", "limit", "unconfirmed", "unknown")
_PLUS = "A `+` is `%2B` in a URL; a bare one before a number is understood."
HOPS = ("schedule", "device", "confirmation", "phone", "radio", "network", "delivery_report")


class CrmQuery(StrictSchema):
    """Of which CRM."""

    class Meta:
        # These lists took no parameters at first, and whatever stood there was passed over.
        unknown = ma.EXCLUDE

    crm = crm_filter()


class Receiver(ma.Schema):
    """A CRM for which an SMS came in."""

    crm_id = text("Its id.")
    crm = text("Its name.")


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


class MessageSchema(ma.Schema):
    """One SMS."""

    id = text("Ours, `msg_…`; later ones sort after earlier ones.")
    direction = text("`outbound` from you, `inbound` to you.", validate=validate.OneOf(DIRECTIONS))
    device_id = nullable("The device that has it, had it last or is to send it.")
    from_ = fields.String(
        data_key="from",
        required=True,
        allow_none=True,
        metadata=described("Who sent it; outbound, the number of the phone that has it, if known."),
    )
    to = nullable("Who is to get it, in E.164 where that is certain.")
    content = nullable("The text; null when it was removed after the retention time.")
    encoding = text("How it goes over the radio.", validate=validate.OneOf(("gsm7", "ucs2")))
    segments = fields.Integer(required=True, metadata=described("How many SMS it takes."))
    status = text(
        "`queued`, `dispatched` (a phone was given it), `accepted` (it is stored there), `sending`, `sent`, "
        "`delivered`; or it ended `failed`, `expired` or `cancelled`. Inbound ones are `received`.",
        validate=validate.OneOf((*statuses.OUTBOUND, *statuses.INBOUND)),
    )
    reason = nullable("Why it failed, in the phone's words.")
    reason_class = nullable(
        "What the reason means: `permanent` (do not try again), `temporary`, `limit` (Android's own limit), "
        "`unconfirmed` (the phone never answered and may have sent it) or `unknown`.",
        validate=validate.OneOf((*REASON_CLASSES, None)),
    )
    reference = nullable("Your own id for it.")
    metadata = fields.Dict(
        required=True, allow_none=True, metadata=described("What you gave along.")
    )
    priority = fields.Integer(required=True, metadata=described("0 to 9."))
    send_at = nullable_date_time("Not before this time.")
    expires_at = nullable_date_time("Not after this time.")
    created_at = date_time("When it was queued or came in.")
    updated_at = date_time("When it last changed.")
    sent_at = nullable_date_time("When the phone said it was sent.")
    delivered_at = nullable_date_time("When the network said it had arrived.")
    stuck_at = nullable_date_time("Since when a phone has had it for too long.")
    received_at = fields.String(
        metadata=described("Inbound: when it came in, by our clock.", format="date-time")
    )
    device_received_at = fields.String(
        allow_none=True,
        metadata=described("Inbound: when the phone got it, by its own clock.", format="date-time"),
    )
    sms_sent_at = fields.String(
        allow_none=True,
        metadata=described(
            "Inbound: when it was sent, if the network said so.", format="date-time"
        ),
    )
    crm_id = crm_id("the CRM that queued it; null for an inbound one")
    crm = crm_name()
    received_by = fields.List(
        fields.Nested(Receiver),
        metadata=described("For operators, inbound: the CRMs it came in for."),
    )


class HistoryEntrySchema(ma.Schema):
    """One thing that happened to a message."""

    status = text("What became of it, or the word of a phone that we do not know.")
    reason = nullable("Why.")
    at = date_time("When.")
    device_id = nullable("On which device.")
    dispatch_id = nullable("In which dispatch.")


class DispatchSchema(ma.Schema):
    """One handing of a message to a device; sending it again is another one."""

    id = text("What the phone sees.")
    device_id = text("Which device.")
    status = text("How far this one got.")
    reason = nullable("Why it failed.")
    reason_class = nullable("What the reason means.")
    handed_out_at = date_time("When it was handed out first.")
    hand_out_count = fields.Integer(
        required=True,
        metadata=described("How often; a phone that does not confirm is asked again."),
    )
    acknowledged_at = nullable_date_time("When the phone first said anything about it.")


class WaitingFor(ma.Schema):
    """What has to happen next."""

    hop = text("Where it is.", validate=validate.OneOf(HOPS))
    since = nullable_date_time("Since when.")
    device_id = nullable("At which device.")
    text = text("The same in a sentence.")


class WholeMessage(MessageSchema):
    """One SMS with everything that happened to it."""

    history = fields.List(fields.Nested(HistoryEntrySchema), required=True)
    dispatches = fields.List(fields.Nested(DispatchSchema), required=True)
    waiting_for = fields.Nested(
        WaitingFor, required=True, allow_none=True, metadata=described("Null once it is finished.")
    )


class MessagePage(ma.Schema):
    """Some messages, newest first."""

    data = fields.List(fields.Nested(MessageSchema), required=True)
    next_cursor = nullable("Give it as `cursor` to get the next page; null on the last one.")


class Messages(ma.Schema):
    """The messages of a batch, in its order."""

    data = fields.List(fields.Nested(MessageSchema), required=True)
