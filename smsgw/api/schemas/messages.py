"""What messages look like in requests and answers."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ...core.messages.drafts import MAX_UNITS
from ...core.messages.queueing import MAX_BATCH
from ...http.parsing import Taken
from ...sms import statuses
from .fields import (
    Metadata,
    Moment,
    PhoneNumber,
    QueryMoment,
    QueryNumber,
    QuerySender,
    QueryText,
    QueryWhole,
    Several,
    Whole,
    Yes,
)

LONGEST_TTL_SECONDS = 366 * 24 * 3600
DIRECTIONS = ("inbound", "outbound")
REASON_CLASSES = ("permanent", "temporary", "limit", "unconfirmed", "unknown")
_PLUS = "A `+` is `%2B` in a URL; a bare one before a number is understood."
HOPS = ("schedule", "device", "confirmation", "phone", "radio", "network", "delivery_report")


def told(text: str, **more: Any) -> dict[str, Any]:
    """What the documentation says about a field."""
    return {"description": text, **more}


def text(description: str, **more: Any) -> fields.String:
    """A field of an answer that is always a text."""
    return fields.String(required=True, metadata=told(description), **more)


def maybe(description: str, **more: Any) -> fields.String:
    """A field of an answer that is a text or null."""
    return fields.String(required=True, allow_none=True, metadata=told(description), **more)


def moment(description: str) -> fields.String:
    """A field of an answer that is a time."""
    return fields.String(required=True, metadata=told(description, format="date-time"))


def maybe_moment(description: str) -> fields.String:
    """A field of an answer that is a time or null."""
    return fields.String(
        required=True, allow_none=True, metadata=told(description, format="date-time")
    )


def crm_filter() -> fields.String:
    """The field `crm` of a query."""
    return fields.String(
        validate=validate.Length(min=1, max=100),
        metadata=told("For operators: of this CRM, by id or name; left out, of all."),
    )


def crm_id(whose: str) -> fields.String:
    """A field of an answer that operators alone get: the id of the CRM it belongs to."""
    return fields.String(allow_none=True, metadata=told(f"For operators: {whose}."))


def crm_name() -> fields.String:
    """The same with that CRM's name."""
    return fields.String(allow_none=True, metadata=told("For operators: that CRM's name."))


class CrmQuery(Taken):
    """Of which CRM."""

    class Meta:
        # These lists took no parameters at first, and whatever stood there was passed over.
        unknown = ma.EXCLUDE

    crm = crm_filter()


class Receiver(ma.Schema):
    """A CRM for which an SMS came in."""

    crm_id = text("Its id.")
    crm = text("Its name.")


class Draft(Taken):
    """A message to be sent."""

    to = PhoneNumber(
        required=True,
        validate=validate.Length(min=1, max=64),
        metadata=told(
            "Who is to get it: an international number with `+`, a number as dialled in the server's region, or a "
            "short code, as a text. Blanks, hyphens, brackets and the dots between groups do not matter; what a person "
            "would not read as one number, such as a spreadsheet's `4.93E+11`, is refused.",
            example="+12025550123",
        ),
    )
    content = fields.String(
        required=True,
        metadata=told(
            f"The text, 1 to {MAX_UNITS:,} UTF-16 units.", minLength=1, maxLength=MAX_UNITS
        ),
    )
    device_id = fields.String(
        allow_none=True,
        validate=validate.Length(max=64),
        metadata=told("The device that is to send it; left out, any device of yours may."),
    )
    reference = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=255),
        metadata=told("Your own id for it. Sent twice with the same body, it makes one message."),
    )
    send_at = Moment(
        allow_none=True,
        metadata=told("Not before this time. Left out or past: at once.", format="date-time"),
    )
    expires_at = Moment(
        allow_none=True,
        metadata=told("Not after this time; then it becomes `expired`.", format="date-time"),
    )
    ttl = Whole(
        allow_none=True,
        validate=validate.Range(min=1, max=LONGEST_TTL_SECONDS),
        metadata=told(
            "Instead of `expires_at`, not besides it: seconds from now or from `send_at`."
        ),
    )
    priority = Whole(
        allow_none=True,
        validate=validate.Range(min=0, max=9),
        metadata=told("0 to 9, higher ones are sent first; 4 when left out."),
    )
    metadata = Metadata(
        allow_none=True,
        metadata=told(
            "Any JSON object of yours, up to 8 KiB; it comes back in answers and events."
        ),
    )


class Batch(Taken):
    """Messages to be sent, all or none."""

    messages = Several(
        fields.Nested(Draft),
        least=1,
        most=MAX_BATCH,
        required=True,
        metadata=told("1 to 1,000 messages."),
    )


class Resend(Taken):
    """Whether to send again what may have been sent."""

    may_duplicate = Yes(
        load_default=False,
        metadata=told("Also where the phone may have sent it, so that it may arrive twice."),
    )


class MessageQuery(Taken):
    """Which messages to list."""

    crm = crm_filter()
    direction = fields.String(
        validate=validate.OneOf(DIRECTIONS),
        metadata=told("`inbound`: received; `outbound`: to be sent."),
    )
    status = fields.String(
        validate=validate.OneOf((*statuses.OUTBOUND, *statuses.INBOUND)),
        metadata=told("In this status now."),
    )
    device_id = fields.String(validate=validate.Length(max=64), metadata=told("Of this device."))
    from_ = QuerySender(
        data_key="from",
        validate=validate.Length(max=100),
        metadata=told(f"From this number, in any spelling, or from this name. {_PLUS}"),
    )
    to = QueryNumber(
        validate=validate.Length(max=100),
        metadata=told(f"To this number, in any spelling. {_PLUS}"),
    )
    reference = fields.String(
        validate=validate.Length(max=255), metadata=told("With this reference.")
    )
    q = QueryText(
        validate=validate.Length(min=1, max=200),
        metadata=told(
            "With this in the content, a number or the reference, whatever its case (full Unicode case folding, NFC)."
        ),
    )
    since = QueryMoment(metadata=told("Made at this time or later.", format="date-time"))
    until = QueryMoment(metadata=told("Made before this time.", format="date-time"))
    cursor = fields.String(
        validate=validate.Length(max=200), metadata=told("The `next_cursor` of the page before.")
    )
    limit = QueryWhole(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata=told("How many at most."),
    )


class Message(ma.Schema):
    """One SMS."""

    id = text("Ours, `msg_…`; later ones sort after earlier ones.")
    direction = text("`outbound` from you, `inbound` to you.", validate=validate.OneOf(DIRECTIONS))
    device_id = maybe("The device that has it, had it last or is to send it.")
    from_ = fields.String(
        data_key="from",
        required=True,
        allow_none=True,
        metadata=told("Who sent it; outbound, the number of the phone that has it, if known."),
    )
    to = maybe("Who is to get it, in E.164 where that is certain.")
    content = maybe("The text; null when it was removed after the retention time.")
    encoding = text("How it goes over the radio.", validate=validate.OneOf(("gsm7", "ucs2")))
    segments = fields.Integer(required=True, metadata=told("How many SMS it takes."))
    status = text(
        "`queued`, `dispatched` (a phone was given it), `accepted` (it is stored there), `sending`, `sent`, "
        "`delivered`; or it ended `failed`, `expired` or `cancelled`. Inbound ones are `received`.",
        validate=validate.OneOf((*statuses.OUTBOUND, *statuses.INBOUND)),
    )
    reason = maybe("Why it failed, in the phone's words.")
    reason_class = maybe(
        "What the reason means: `permanent` (do not try again), `temporary`, `limit` (Android's own limit), "
        "`unconfirmed` (the phone never answered and may have sent it) or `unknown`.",
        validate=validate.OneOf((*REASON_CLASSES, None)),
    )
    reference = maybe("Your own id for it.")
    metadata = fields.Dict(required=True, allow_none=True, metadata=told("What you gave along."))
    priority = fields.Integer(required=True, metadata=told("0 to 9."))
    send_at = maybe_moment("Not before this time.")
    expires_at = maybe_moment("Not after this time.")
    created_at = moment("When it was queued or came in.")
    updated_at = moment("When it last changed.")
    sent_at = maybe_moment("When the phone said it was sent.")
    delivered_at = maybe_moment("When the network said it had arrived.")
    stuck_at = maybe_moment("Since when a phone has had it for too long.")
    received_at = fields.String(
        metadata=told("Inbound: when it came in, by our clock.", format="date-time")
    )
    device_received_at = fields.String(
        allow_none=True,
        metadata=told("Inbound: when the phone got it, by its own clock.", format="date-time"),
    )
    sms_sent_at = fields.String(
        allow_none=True,
        metadata=told("Inbound: when it was sent, if the network said so.", format="date-time"),
    )
    crm_id = crm_id("the CRM that queued it; null for an inbound one")
    crm = crm_name()
    received_by = fields.List(
        fields.Nested(Receiver), metadata=told("For operators, inbound: the CRMs it came in for.")
    )


class HistoryEntry(ma.Schema):
    """One thing that happened to a message."""

    status = text("What became of it, or the word of a phone that we do not know.")
    reason = maybe("Why.")
    at = moment("When.")
    device_id = maybe("On which device.")
    dispatch_id = maybe("In which dispatch.")


class Dispatch(ma.Schema):
    """One handing of a message to a device; sending it again is another one."""

    id = text("What the phone sees.")
    device_id = text("Which device.")
    status = text("How far this one got.")
    reason = maybe("Why it failed.")
    reason_class = maybe("What the reason means.")
    handed_out_at = moment("When it was handed out first.")
    hand_out_count = fields.Integer(
        required=True, metadata=told("How often; a phone that does not confirm is asked again.")
    )
    acknowledged_at = maybe_moment("When the phone first said anything about it.")


class WaitingFor(ma.Schema):
    """What has to happen next."""

    hop = text("Where it is.", validate=validate.OneOf(HOPS))
    since = maybe_moment("Since when.")
    device_id = maybe("At which device.")
    text = text("The same in a sentence.")


class WholeMessage(Message):
    """One SMS with everything that happened to it."""

    history = fields.List(fields.Nested(HistoryEntry), required=True)
    dispatches = fields.List(fields.Nested(Dispatch), required=True)
    waiting_for = fields.Nested(
        WaitingFor, required=True, allow_none=True, metadata=told("Null once it is finished.")
    )


class MessagePage(ma.Schema):
    """Some messages, newest first."""

    data = fields.List(fields.Nested(Message), required=True)
    next_cursor = maybe("Give it as `cursor` to get the next page; null on the last one.")


class Messages(ma.Schema):
    """The messages of a batch, in its order."""

    data = fields.List(fields.Nested(Message), required=True)


class Sender(ma.Schema):
    """A device that may send it."""

    device_id = text("Which device.")
    online = fields.Boolean(required=True, metadata=told("Whether it was heard of lately."))


class Preview(ma.Schema):
    """What would become of a message."""

    to = text("The number as it would be kept.")
    encoding = text("How it would go over the radio.", validate=validate.OneOf(("gsm7", "ucs2")))
    segments = fields.Integer(required=True, metadata=told("How many SMS it would take."))
    units = fields.Integer(
        required=True, metadata=told("Septets in `gsm7`, UTF-16 units in `ucs2`.")
    )
    units_per_segment = fields.Integer(required=True, metadata=told("The room in each segment."))
    units_left = fields.Integer(
        required=True, metadata=told("What still fits before another segment begins.")
    )
    offending = fields.List(
        fields.String(),
        required=True,
        metadata=told("The characters that rule `gsm7` out, each once."),
    )
    devices = fields.List(
        fields.Nested(Sender), required=True, metadata=told("The devices that may send it.")
    )
