"""Describes events and figures in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.events.recording import TYPES
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
from .fields import QueryDateTime, QueryInteger

MOST_EVENTS = 1000


class EventQuery(StrictSchema):
    """Where to go on, and how far."""

    crm = crm_filter()
    after = fields.String(
        validate=validate.Regexp(r"^(evt_[0-9a-f]{32})?\Z", error="Not the id of an event."),
        metadata=described("The `next_cursor` of the answer before; left out, from the oldest on."),
    )
    limit = QueryInteger(
        load_default=100,
        validate=validate.Range(min=1, max=MOST_EVENTS),
        metadata=described("How many at most."),
    )


class EventSchema(ma.Schema):
    """Something that happened."""

    id = text("Ours, `evt_…`: the same in the feed and in `webhook-id`.")
    type = text("What happened.", validate=validate.OneOf(TYPES))
    timestamp = date_time("When.")
    data = fields.Dict(
        required=True,
        metadata=described("The message or the device as REST showed it at that moment."),
    )
    crm_id = crm_id("the CRM that was told")
    crm = crm_name()


class Feed(ma.Schema):
    """Events, oldest first."""

    data = fields.List(fields.Nested(EventSchema), required=True)
    next_cursor = nullable("Give it as `after` next time, also when nothing is new.")


class StatsQuery(StrictSchema):
    """Of which time."""

    crm = crm_filter()
    since = QueryDateTime(
        metadata=described(
            "Messages made since then; left out, of the last 24 hours.", format="date-time"
        )
    )


Counts = ma.Schema.from_dict(
    {
        status: fields.Integer(required=True, metadata=described("How many."))
        for status in (*statuses.OUTBOUND, *statuses.INBOUND)
    },
    name="Counts",
)


class Queue(ma.Schema):
    """What waits to be sent now, whenever it was made."""

    queued_count = fields.Integer(required=True, metadata=described("Messages in the queue."))
    due_count = fields.Integer(
        required=True, metadata=described("Those of them that are not scheduled for later.")
    )
    oldest_due_at = nullable_date_time("Since when the oldest of those could have been sent.")
    oldest_due_seconds = fields.Integer(required=True, metadata=described("How long ago that is."))


class DeviceFigures(ma.Schema):
    """The same for one device."""

    device_id = text("Which device.")
    online = fields.Boolean(required=True, metadata=described("Whether it was heard of lately."))
    last_seen_at = nullable_date_time("When it was last heard of.")
    queued_count = fields.Integer(
        required=True, metadata=described("Messages queued for it by name.")
    )
    in_flight_count = fields.Integer(
        required=True, metadata=described("Messages it was given and has not sent.")
    )
    messages = fields.Nested(Counts, required=True)


class Stats(ma.Schema):
    """Figures of some time and of this moment."""

    since = date_time("Since when `messages` are counted.")
    messages = fields.Nested(Counts, required=True)
    queue = fields.Nested(Queue, required=True)
    devices = fields.List(fields.Nested(DeviceFigures), required=True)
