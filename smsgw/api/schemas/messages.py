"""Describes messages in responses."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from ...sms import statuses
from . import descriptions
from .descriptions import date_time, described, integer, list_of, nullable, nullable_date_time, text

DIRECTIONS = ("inbound", "outbound")
REASON_CLASSES = ("permanent", "temporary", "limit", "unconfirmed", "unknown")
HOPS = (
    "held",
    "paused",
    "schedule",
    "device",
    "limit",
    "confirmation",
    "phone",
    "radio",
    "network",
    "delivery_report",
)


def _inbound_date_time(description: str, **more: Any) -> fields.String:
    return fields.String(
        metadata=described(f"Inbound messages only: {description}.", format="date-time"), **more
    )


class Receiver(ma.Schema):
    """A CRM that received the message."""

    crm_id = text("The ID of the CRM.")
    crm = text("The name of the CRM.")


class MessageSchema(ma.Schema):
    """One SMS."""

    id = text(
        "The ID of the message, `msg_…`. IDs of newer messages sort after those of older ones."
    )
    direction = text(
        "`outbound` for messages that you send, `inbound` for messages that you receive.",
        validate=validate.OneOf(DIRECTIONS),
    )
    device_id = nullable(
        "The device that has the message, had it last, or is the only one that may send it."
    )
    from_ = fields.String(
        data_key="from",
        required=True,
        allow_none=True,
        metadata=described(
            "The sender. For outbound messages, the number of the phone that has the message, if known."
        ),
    )
    to = nullable("The recipient, in E.164 format if the number is certain.")
    content = nullable("The text; `null` if it was removed after the retention period.")
    encoding = text(
        "The encoding used to send the text.", validate=validate.OneOf(("gsm7", "ucs2"))
    )
    segments = integer("The number of SMS segments that the text needs.")
    status = text(
        "Outbound messages are `queued`, `dispatched` (handed to a phone), `accepted` (stored on the phone), "
        "`sending`, `sent` or `delivered`, or ended as `failed`, `expired` or `cancelled`. Inbound messages are "
        "`received`.",
        validate=validate.OneOf((*statuses.OUTBOUND, *statuses.INBOUND)),
    )
    reason = nullable("The reason for the failure, in the phone's words.")
    reason_class = nullable(
        "The meaning of the reason: `permanent` (do not try again), `temporary`, `limit` (Android's own limit), "
        "`unconfirmed` (the phone never confirmed the message and may have sent it) or `unknown`.",
        validate=validate.OneOf((*REASON_CLASSES, None)),
    )
    reference = nullable("Your own ID for the message.")
    metadata = fields.Dict(
        required=True,
        allow_none=True,
        metadata=described("The JSON object that you sent with the message."),
    )
    priority = integer("The priority, from 0 to 9.")
    send_at = nullable_date_time("The earliest time to send the message.")
    expires_at = nullable_date_time("The latest time to send the message.")
    created_at = date_time("The time the message was queued or received.")
    updated_at = date_time("The time of the latest change.")
    sent_at = nullable_date_time("The time the phone reported the message as sent.")
    delivered_at = nullable_date_time("The time the network reported the message as delivered.")
    stuck_at = nullable_date_time(
        "The time from which the message counts as stuck, because a phone has had it for too long."
    )
    received_at = _inbound_date_time("the time the server received the message")
    device_received_at = _inbound_date_time(
        "the time the phone received the message, by the phone's clock", allow_none=True
    )
    sms_sent_at = _inbound_date_time(
        "the time the message was sent, if the network reported it", allow_none=True
    )
    crm_id = descriptions.crm_id(
        "the ID of the CRM that queued the message; `null` for inbound messages"
    )
    crm = descriptions.crm_name()
    received_by = fields.List(
        fields.Nested(Receiver),
        metadata=described("For operators, inbound messages only: the CRMs that received it."),
    )


class HistoryEntrySchema(ma.Schema):
    """A change of a message's status."""

    status = text("The new status, or an unknown status in the phone's words.")
    reason = nullable("The reason for the change.")
    at = date_time("The time of the change.")
    device_id = nullable("The device that the change is about.")
    dispatch_id = nullable("The dispatch that the change is about.")


class DispatchSchema(ma.Schema):
    """A dispatch of a message to a device; resending the message makes another dispatch."""

    id = text("The ID of the dispatch, which is the message ID that the phone sees.")
    device_id = text("The name of the device.")
    status = text("The status of this dispatch.")
    reason = nullable("The reason for the failure.")
    reason_class = nullable("The meaning of the reason.")
    handed_out_at = date_time("The time the message was first handed to the device.")
    hand_out_count = integer(
        "The number of times it was handed to the device; a device that does not confirm a message may get it again."
    )
    acknowledged_at = nullable_date_time("The time of the phone's first report about it.")


class WaitingFor(ma.Schema):
    """The next step that an unfinished message waits for."""

    hop = text("The stage that the message has reached.", validate=validate.OneOf(HOPS))
    since = nullable_date_time("The time the wait began.")
    device_id = nullable("The device that the message waits for.")
    text = text("The same as a sentence.")
    until = fields.String(
        metadata=described(
            "With the hop `limit`: the time at which the device may be given the message.",
            format="date-time",
        )
    )


class WholeMessage(MessageSchema):
    """A message with its history and its dispatches."""

    history = list_of(HistoryEntrySchema)
    dispatches = list_of(DispatchSchema)
    waiting_for = fields.Nested(
        WaitingFor,
        required=True,
        allow_none=True,
        metadata=described("The next step; `null` once the message is finished."),
    )


class MessagePage(ma.Schema):
    """A page of messages, newest first."""

    data = list_of(MessageSchema)
    next_cursor = descriptions.next_cursor()


class Messages(ma.Schema):
    """The messages of a batch, in the order of the request."""

    data = list_of(MessageSchema)
