"""Describes events and statistics in requests and responses."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.events.recording import TYPES
from ...http.parsing import StrictSchema
from ...sms import statuses
from . import descriptions
from .descriptions import date_time, described, integer, list_of, nullable_date_time, text
from .devices import DeviceState
from .fields import QueryDateTime

MOST_EVENTS = 1000


class EventQuery(StrictSchema):
    """The place in the feed to start from, and the number of events."""

    crm = descriptions.crm_filter()
    after = fields.String(
        validate=validate.Regexp(r"^(evt_[0-9a-f]{32})?\Z", error="Not the id of an event."),
        metadata=described(
            "The `next_cursor` of the previous response; omit it to start with the oldest event."
        ),
    )
    limit = descriptions.limit(default=100, most=MOST_EVENTS)


class EventSchema(ma.Schema):
    """An event."""

    id = text("The ID of the event, `evt_…`; the `webhook-id` header has the same value.")
    type = text("The type of the event.", validate=validate.OneOf(TYPES))
    timestamp = date_time("The time of the event.")
    data = fields.Dict(
        required=True,
        metadata=described(
            "The message, device or endpoint, as this API represented it at that moment."
        ),
    )
    crm_id = descriptions.crm_id("the ID of the CRM that the event is for")
    crm = descriptions.crm_name()


class Feed(ma.Schema):
    """Events, oldest first."""

    data = list_of(EventSchema)
    next_cursor = descriptions.nullable(
        "Pass this as `after` in the next request, even if there are no new events."
    )


class StatsQuery(StrictSchema):
    """The period to report on."""

    crm = descriptions.crm_filter()
    since = QueryDateTime(
        metadata=described(
            "Count messages created since this time; defaults to 24 hours ago.", format="date-time"
        )
    )


Counts = ma.Schema.from_dict(
    {
        status: integer("The number of messages with this status.")
        for status in (*statuses.OUTBOUND, *statuses.INBOUND)
    },
    name="Counts",
)


class Queue(ma.Schema):
    """The messages that wait to be sent now, regardless of when they were created."""

    queued_count = integer("The number of messages in the queue.")
    due_count = integer("The number of messages in the queue that are not scheduled for later.")
    oldest_due_at = nullable_date_time(
        "The time from which the message that has been due longest could have been sent."
    )
    oldest_due_seconds = integer("The number of seconds since `oldest_due_at`.")


class DeviceFigures(DeviceState):
    """Statistics about one device."""

    messages = fields.Nested(Counts, required=True)


class Stats(ma.Schema):
    """Statistics about a period and the current queue."""

    since = date_time("The time from which `messages` are counted.")
    messages = fields.Nested(Counts, required=True)
    queue = fields.Nested(Queue, required=True)
    devices = list_of(DeviceFigures)
