"""What webhook endpoints and deliveries look like in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.events.recording import TYPES
from ...core.webhooks.deliveries import MOST_RECOVERED, STATUSES
from ...core.webhooks.secrets import GRACE_SECONDS, LONGEST_GRACE_SECONDS
from ...core.webhooks.urls import LONGEST_URL
from ...http.parsing import Taken
from .fields import Moment, QueryWhole, Several, Whole, Yes
from .messages import crm_id, crm_name, maybe, maybe_moment, moment, text, told

_EVENTS = told("Which events it wants; null or left out means all, future ones too.")
_DEVICE_IDS = told("Only events of these devices; null or left out means all.")
_URL = told(
    "Where to POST them. `https`, unless the server's operator opened a network with "
    "`SMSGW_WEBHOOK_ALLOWED_NETWORKS`. `amqps://user:password@host/vhost?exchange=NAME` publishes them by RabbitMQ.",
    format="uri",
    example="https://crm.example.org/sms",
)
MOST_EVENT_TYPES = 100
MOST_DEVICES = 1000
_LENGTH = validate.Length(min=1, max=LONGEST_URL)


class WebhookChanges(Taken):
    """What to change of an endpoint; what is left out stays."""

    url = fields.String(validate=_LENGTH, metadata=_URL)
    events = Several(
        fields.String(validate=validate.OneOf(TYPES)),
        most=MOST_EVENT_TYPES,
        allow_none=True,
        metadata=_EVENTS,
    )
    device_ids = Several(
        fields.String(validate=validate.Length(max=64)),
        most=MOST_DEVICES,
        allow_none=True,
        metadata=_DEVICE_IDS,
    )
    enabled = Yes(
        metadata=told("Whether it gets anything; true starts it again with a clean record.")
    )


class NewWebhook(WebhookChanges):
    """An endpoint to be added."""

    url = fields.String(required=True, validate=_LENGTH, metadata=_URL)
    enabled = Yes(load_default=True, metadata=told("Whether it gets anything yet."))


class Rotation(Taken):
    """How long the old secret still signs."""

    grace_seconds = Whole(
        load_default=GRACE_SECONDS,
        validate=validate.Range(min=0, max=LONGEST_GRACE_SECONDS),
        metadata=told("Seconds that the old secret signs too; 0 for one that has leaked."),
    )


class Recovery(Taken):
    """Which time to make up for."""

    since = Moment(required=True, metadata=told("Events from this time on.", format="date-time"))
    until = Moment(
        allow_none=True,
        metadata=told("Events before this time; left out, up to now.", format="date-time"),
    )


class DeliveryQuery(Taken):
    """Which deliveries to list."""

    status = fields.String(validate=validate.OneOf(STATUSES), metadata=told("In this status now."))
    cursor = fields.String(
        validate=validate.Regexp(
            r"^dlv_[0-9a-f]{32}\Z", error="Not a cursor that a page before gave."
        ),
        metadata=told("The `next_cursor` of the page before."),
    )
    limit = QueryWhole(
        load_default=50,
        validate=validate.Range(min=1, max=200),
        metadata=told("How many at most."),
    )


class Webhook(ma.Schema):
    """Where you want your events."""

    id = text("Ours, `whe_…`.")
    crm_id = text("Whose it is.")
    crm = crm_name()
    url = text("Where they go; a user's name and password in it are masked.")
    events = fields.List(
        fields.String(), required=True, allow_none=True, metadata=told("Which; null means all.")
    )
    device_ids = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata=told("Of which devices; null means all."),
    )
    enabled = fields.Boolean(required=True, metadata=told("Whether it gets anything."))
    disabled_at = maybe_moment("Since when it is switched off.")
    disabled_reason = maybe("Why it is switched off: by hand, or what went wrong for too long.")
    failing_since = maybe_moment("The first failure after the last success.")
    consecutive_failures = fields.Integer(
        required=True, metadata=told("Failed attempts since the last success.")
    )
    last_success_at = maybe_moment("When it last took one.")
    paused_until = maybe_moment("After several failures: no attempt before this.")
    pending_count = fields.Integer(
        required=True, metadata=told("Deliveries that wait or are on their way.")
    )
    created_at = moment("When it was added.")


class WebhookWithSecret(Webhook):
    """A new endpoint with its secret, shown this once."""

    secret = text("`whsec_…`, for a Standard Webhooks library.")


class Webhooks(ma.Schema):
    """Endpoints, oldest first."""

    data = fields.List(fields.Nested(Webhook), required=True)


class Delivery(ma.Schema):
    """One event for one endpoint."""

    id = text("Ours, `dlv_…`.")
    crm_id = crm_id("the CRM whose endpoint it is")
    crm = crm_name()
    endpoint_id = text("For which endpoint.")
    event_id = text("Which event: what `webhook-id` says, the same in every attempt.")
    event_type = text("What happened.")
    status = text("Where it stands.", validate=validate.OneOf(STATUSES))
    attempt_count = fields.Integer(required=True, metadata=told("How often it was tried."))
    next_attempt_at = maybe_moment("When it is tried next.")
    created_at = moment("When it was put down.")
    settled_at = maybe_moment("When it was delivered or given up.")


class Attempt(ma.Schema):
    """One HTTP request."""

    id = text("Ours, `att_…`.")
    started_at = moment("When.")
    duration_seconds = fields.Float(required=True, metadata=told("How long it took."))
    status_code = fields.Integer(
        required=True, allow_none=True, metadata=told("What your server answered.")
    )
    error = maybe("What went wrong, as a word for programs.")
    detail = maybe("What went wrong, for people.")
    response_text = maybe("The beginning of your server's answer.")
    manual = fields.Boolean(required=True, metadata=told("Whether somebody asked for it."))


class DeliveryWithAttempts(Delivery):
    """One event for one endpoint, and each attempt."""

    attempts = fields.List(fields.Nested(Attempt), required=True)


class DeliveryPage(ma.Schema):
    """Some deliveries, newest first."""

    data = fields.List(fields.Nested(Delivery), required=True)
    next_cursor = maybe("Give it as `cursor` to get the next page; null on the last one.")


class Recovered(ma.Schema):
    """What was put down again."""

    created_count = fields.Integer(
        required=True, metadata=told("Events that had never been put down for this endpoint.")
    )
    requeued_count = fields.Integer(
        required=True, metadata=told("Deliveries that had been given up.")
    )
    has_more = fields.Boolean(
        required=True, metadata=told(f"There were more than {MOST_RECOVERED:,}: ask again.")
    )
