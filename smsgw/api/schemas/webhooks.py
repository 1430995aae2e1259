"""Describes webhook endpoints and deliveries in requests and responses."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.events.recording import TYPES
from ...core.webhooks.deliveries import MOST_RECOVERED
from ...core.webhooks.delivery_statuses import STATUSES
from ...core.webhooks.secrets import GRACE_SECONDS, LONGEST_GRACE_SECONDS
from ...core.webhooks.urls import LONGEST_URL
from ...http.parsing import StrictSchema
from . import descriptions
from .descriptions import (
    boolean,
    date_time,
    described,
    integer,
    list_of,
    nullable,
    nullable_date_time,
    nullable_names,
    text,
)
from .fields import BoundedList, DateTime, StrictBoolean, StrictInteger

_EVENTS = described(
    "The event types to send; `null` or omitted means all, including types added later."
)
_DEVICE_IDS = described("The devices whose events to send; `null` or omitted means all.")
_URL = described(
    "The URL to POST events to. It must use `https`, unless the server's operator has allowed a network with "
    "`SMSGW_WEBHOOK_ALLOWED_NETWORKS`. With `amqps://user:password@host/vhost?exchange=NAME`, events are published to "
    "RabbitMQ.",
    format="uri",
    example="https://crm.example.org/sms",
)
MOST_EVENT_TYPES = 100
MOST_DEVICES = 1000
_LENGTH = validate.Length(min=1, max=LONGEST_URL)


class WebhookChanges(StrictSchema):
    """Changes to an endpoint; omitted fields keep their values."""

    url = fields.String(validate=_LENGTH, metadata=_URL)
    events = BoundedList(
        fields.String(validate=validate.OneOf(TYPES)),
        most=MOST_EVENT_TYPES,
        allow_none=True,
        metadata=_EVENTS,
    )
    device_ids = BoundedList(
        fields.String(validate=validate.Length(max=64)),
        most=MOST_DEVICES,
        allow_none=True,
        metadata=_DEVICE_IDS,
    )
    enabled = StrictBoolean(
        metadata=described(
            "Set to `false` to send nothing to the endpoint. `true` starts it again and resets its failure count."
        )
    )


class NewWebhook(WebhookChanges):
    """A new endpoint."""

    url = fields.String(required=True, validate=_LENGTH, metadata=_URL)
    enabled = StrictBoolean(
        load_default=True, metadata=described("Set to `false` to send nothing to the endpoint yet.")
    )


class Rotation(StrictSchema):
    """The time during which the old secret still signs."""

    grace_seconds = StrictInteger(
        load_default=GRACE_SECONDS,
        validate=validate.Range(min=0, max=LONGEST_GRACE_SECONDS),
        metadata=described(
            "The number of seconds that the old secret signs too; use 0 if the secret has leaked."
        ),
    )


class Recovery(StrictSchema):
    """The period whose events to send."""

    since = DateTime(
        required=True, metadata=described("Send events from this time on.", format="date-time")
    )
    until = DateTime(
        allow_none=True,
        metadata=described(
            "Send events before this time; defaults to the current time.", format="date-time"
        ),
    )


class DeliveryQuery(StrictSchema):
    """Filters for a list of deliveries."""

    status = fields.String(
        validate=validate.OneOf(STATUSES), metadata=described("Only deliveries with this status.")
    )
    cursor = fields.String(
        validate=validate.Regexp(
            r"^dlv_[0-9a-f]{32}\Z", error="Not the next_cursor of a previous page."
        ),
        metadata=described("The `next_cursor` of the previous page."),
    )
    limit = descriptions.limit(default=50, most=200)


class Webhook(ma.Schema):
    """An endpoint that receives events."""

    id = text("The ID of the endpoint, `whe_…`.")
    crm_id = text("The ID of the CRM that the endpoint belongs to.")
    crm = descriptions.crm_name()
    url = text("The URL that events are sent to; a user name and password in it are masked.")
    events = nullable_names("The event types that are sent; `null` means all.")
    device_ids = nullable_names("The devices whose events are sent; `null` means all.")
    enabled = boolean("`true` if events are sent to the endpoint.")
    disabled_at = nullable_date_time("The time the endpoint was disabled.")
    disabled_reason = nullable(
        "The reason the endpoint is disabled: by hand, or the failure that lasted too long."
    )
    failing_since = nullable_date_time("The time of the first failure after the last success.")
    consecutive_failures = integer("The number of failed attempts since the last success.")
    last_success_at = nullable_date_time("The time of the last successful delivery.")
    paused_until = nullable_date_time(
        "The time before which no attempt is made, after several failures."
    )
    pending_count = integer("The number of deliveries that wait or are being sent.")
    created_at = date_time("The time the endpoint was added.")


class WebhookWithSecret(Webhook):
    """A new endpoint with its signing secret, shown only once."""

    secret = text("The signing secret, `whsec_…`, for a Standard Webhooks library.")


class Webhooks(ma.Schema):
    """Endpoints, oldest first."""

    data = list_of(Webhook)


class DeliverySchema(ma.Schema):
    """The delivery of one event to one endpoint."""

    id = text("The ID of the delivery, `dlv_…`.")
    crm_id = descriptions.crm_id("the ID of the CRM that the endpoint belongs to")
    crm = descriptions.crm_name()
    endpoint_id = text("The ID of the endpoint.")
    event_id = text("The ID of the event, sent as `webhook-id` with every attempt.")
    event_type = text("The type of the event.")
    status = text("The status of the delivery.", validate=validate.OneOf(STATUSES))
    attempt_count = integer("The number of attempts so far.")
    next_attempt_at = nullable_date_time(
        "The time of the next attempt; `null` where there is none, or while the endpoint is disabled."
    )
    created_at = date_time("The time the delivery was created.")
    settled_at = nullable_date_time("The time the event was delivered or given up.")


class AttemptSchema(ma.Schema):
    """One attempt to deliver an event."""

    id = text("The ID of the attempt, `att_…`.")
    started_at = date_time("The time the attempt started.")
    duration_seconds = fields.Float(
        required=True, metadata=described("The duration of the attempt in seconds.")
    )
    status_code = integer("The HTTP status code of your server's response.", allow_none=True)
    error = nullable("The error as a code for programs.")
    detail = nullable("The error as text for people.")
    response_text = nullable("The beginning of your server's response.")
    manual = boolean("`true` if somebody requested the attempt.")


class DeliveryWithAttempts(DeliverySchema):
    """A delivery with its attempts."""

    attempts = list_of(AttemptSchema)


class DeliveryPage(ma.Schema):
    """A page of deliveries, newest first."""

    data = list_of(DeliverySchema)
    next_cursor = descriptions.next_cursor()


class Recovered(ma.Schema):
    """The result of a recovery."""

    created_count = integer("The number of events that had no delivery to this endpoint before.")
    requeued_count = integer("The number of deliveries that had been given up.")
    has_more = boolean(
        f"`true` if there are more than {MOST_RECOVERED:,} deliveries: repeat the request."
    )
