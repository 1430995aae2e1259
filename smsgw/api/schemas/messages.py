"""Describes messages in answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...sms import statuses
from .descriptions import (
    crm_id,
    crm_name,
    date_time,
    described,
    nullable,
    nullable_date_time,
    text,
)

DIRECTIONS = ("inbound", "outbound")
REASON_CLASSES = ("permanent", "temporary", "limit", "unconfirmed", "unknown")
HOPS = ("schedule", "device", "confirmation", "phone", "radio", "network", "delivery_report")


class Receiver(ma.Schema):
    """A CRM for which an SMS came in."""

    crm_id = text("Its id.")
    crm = text("Its name.")


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
