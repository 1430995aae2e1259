"""Describes webhook endpoints and deliveries in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.events.recording import TYPES
from ...core.webhooks.deliveries import MOST_RECOVERED, STATUSES
from ...core.webhooks.secrets import GRACE_SECONDS, LONGEST_GRACE_SECONDS
from ...core.webhooks.urls import LONGEST_URL
from ...http.parsing import StrictSchema
from .descriptions import crm_id, crm_name, date_time, described, nullable, nullable_date_time, text
from .fields import BoundedList, DateTime, QueryInteger, StrictBoolean, StrictInteger

_EVENTS = described("Which events it wants; null or left out means all, future ones too.")
_DEVICE_IDS = described("Only events of these devices; null or left out means all.")
_URL = described(
    "Where to POST them. `https`, unless the server's operator opened a network with "
    "`SMSGW_WEBHOOK_ALLOWED_NETWORKS`. `amqps://user:password@host/vhost?exchange=NAME` publishes them by RabbitMQ.",
    format="uri",
    example="https://crm.example.org/sms",
)
MOST_EVENT_TYPES = 100
MOST_DEVICES = 1000
_LENGTH = validate.Length(min=1, max=LONGEST_URL)


class WebhookChanges(StrictSchema):
    """What to change of an endpoint; what is left out stays."""

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
        metadata=described("Whether it gets anything; true starts it again with a clean record.")
    )


class NewWebhook(WebhookChanges):
    """An endpoint to be added."""

    url = fields.String(required=True, validate=_LENGTH, metadata=_URL)
    enabled = StrictBoolean(load_default=True, metadata=described("Whether it gets anything yet."))


class Rotation(StrictSchema):
    """How long the old secret still signs."""

    grace_seconds = StrictInteger(
        load_default=GRACE_SECONDS,
        validate=validate.Range(min=0, max=LONGEST_GRACE_SECONDS),
        metadata=described("Seconds that the old secret signs too; 0 for one that has leaked."),
    )


class Recovery(StrictSchema):
    """Which time to make up for."""

    since = DateTime(
        required=True, metadata=described("Events from this time on.", format="date-time")
    )
    until = DateTime(
        allow_none=True,
        metadata=described("Events before this time; left out, up to now.", format="date-time"),
    )


class DeliveryQuery(StrictSchema):
    """Which deliveries to list."""

    status = fields.String(
        validate=validate.OneOf(STATUSES), metadata=described("In this status now.")
    )
    cursor = fields.String(
        validate=validate.Regexp(
            r"^dlv_[0-9a-f]{32}\Z", error="Not a cursor that a page before gave."
        ),
        metadata=described("The `next_cursor` of the page before."),
    )
    limit = QueryInteger(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata=described("How many at most."),
    )


class Webhook(ma.Schema):
    """Where you want your events."""

    id = text("Ours, `whe_…`.")
    crm_id = text("Whose it is.")
    crm = crm_name()
    url = text("Where they go; a user's name and password in it are masked.")
    events = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata=described("Which; null means all."),
    )
    device_ids = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata=described("Of which devices; null means all."),
    )
    enabled = fields.Boolean(required=True, metadata=described("Whether it gets anything."))
    disabled_at = nullable_date_time("Since when it is switched off.")
    disabled_reason = nullable("Why it is switched off: by hand, or what went wrong for too long.")
    failing_since = nullable_date_time("The first failure after the last success.")
    consecutive_failures = fields.Integer(
        required=True, metadata=described("Failed attempts since the last success.")
    )
    last_success_at = nullable_date_time("When it last took one.")
    paused_until = nullable_date_time("After several failures: no attempt before this.")
    pending_count = fields.Integer(
        required=True, metadata=described("Deliveries that wait or are on their way.")
    )
    created_at = date_time("When it was added.")


class WebhookWithSecret(Webhook):
    """A new endpoint with its secret, shown this once."""

    secret = text("`whsec_…`, for a Standard Webhooks library.")


class Webhooks(ma.Schema):
    """Endpoints, oldest first."""

    data = fields.List(fields.Nested(Webhook), required=True)


class DeliverySchema(ma.Schema):
    """One event for one endpoint."""

    id = text("Ours, `dlv_…`.")
    crm_id = crm_id("the CRM whose endpoint it is")
    crm = crm_name()
    endpoint_id = text("For which endpoint.")
    event_id = text("Which event: what `webhook-id` says, the same in every attempt.")
    event_type = text("What happened.")
    status = text("Where it stands.", validate=validate.OneOf(STATUSES))
    attempt_count = fields.Integer(required=True, metadata=described("How often it was tried."))
    next_attempt_at = nullable_date_time("When it is tried next.")
    created_at = date_time("When it was put down.")
    settled_at = nullable_date_time("When it was delivered or given up.")


class AttemptSchema(ma.Schema):
    """One HTTP request."""

    id = text("Ours, `att_…`.")
    started_at = date_time("When.")
    duration_seconds = fields.Float(required=True, metadata=described("How long it took."))
    status_code = fields.Integer(
        required=True, allow_none=True, metadata=described("What your server answered.")
    )
    error = nullable("What went wrong, as a word for programs.")
    detail = nullable("What went wrong, for people.")
    response_text = nullable("The beginning of your server's answer.")
    manual = fields.Boolean(required=True, metadata=described("Whether somebody asked for it."))


class DeliveryWithAttempts(DeliverySchema):
    """One event for one endpoint, and each attempt."""

    attempts = fields.List(fields.Nested(AttemptSchema), required=True)


class DeliveryPage(ma.Schema):
    """Some deliveries, newest first."""

    data = fields.List(fields.Nested(DeliverySchema), required=True)
    next_cursor = nullable("Give it as `cursor` to get the next page; null on the last one.")


class Recovered(ma.Schema):
    """What was put down again."""

    created_count = fields.Integer(
        required=True, metadata=described("Events that had never been put down for this endpoint.")
    )
    requeued_count = fields.Integer(
        required=True, metadata=described("Deliveries that had been given up.")
    )
    has_more = fields.Boolean(
        required=True, metadata=described(f"There were more than {MOST_RECOVERED:,}: ask again.")
    )
