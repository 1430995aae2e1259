"""Serves `/api/v1/webhooks`, the endpoints to which CRMs want their events sent."""

from datetime import datetime
from typing import Any, cast

from flask import Response

from .. import clock
from ..core.webhooks import deliveries, endpoints, urls
from ..core.webhooks import secrets as signing_secrets
from ..http.answers import answer
from ..http.context import services
from ..http.guards import crm_or_operator_required, crm_required, this_crm
from ..http.idempotency import once, once_with_secret
from ..store.db import Session
from ..store.models import WebhookEndpoint
from . import readers
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import webhooks as examples
from .schemas import webhooks as schemas
from .schemas.crms import WebhookSecret
from .schemas.message_requests import CrmQuery

blueprint = DocumentedBlueprint(
    "Webhooks", "Your endpoints, which get each event as it happens, signed and retried."
)


@blueprint.on("GET", "/webhooks")
@blueprint.answers(
    200, schemas.Webhooks, "The endpoints, oldest first.", example={"data": [examples.WEBHOOK]}
)
@crm_or_operator_required
@blueprint.takes(CrmQuery, location="query")
def list_webhooks(query: dict[str, Any]) -> Response:
    """List endpoints

    A CRM gets its own endpoints; an operator gets those of all CRMs, or of the CRM given in `crm`.
    """
    with services().database.reading() as session:
        crm = readers.wanted_crm(session, query)
        found = endpoints.everyone(session) if crm is None else endpoints.of_crm(session, crm.id)
        return answer({"data": readers.with_crm(session, endpoints.shapes(session, found))})


@blueprint.on("POST", "/webhooks")
@blueprint.answers(
    201,
    schemas.WebhookWithSecret,
    "The endpoint and its signing secret, which is shown only once.",
    example=examples.NEW_WEBHOOK_ANSWER,
)
@crm_required
@blueprint.takes(schemas.NewWebhook, examples={"some": {"value": examples.NEW_WEBHOOK}})
def add(body: dict[str, Any]) -> Response:
    """Add an endpoint"""
    url = _checked(body["url"])

    def act(session: Session, now: datetime) -> Response:
        endpoint, secret = endpoints.add(
            session,
            this_crm(),
            url,
            event_types=body.get("events"),
            device_ids=body.get("device_ids"),
            enabled=body["enabled"],
            most=services().settings.webhooks_per_crm,
            now=now,
        )
        shape = endpoints.shape(session, endpoint)
        return answer({**shape, "secret": secret}, 201, f"/api/v1/webhooks/{endpoint.id}")

    return once_with_secret(act)


@blueprint.on("GET", "/webhooks/<webhook_id>")
@blueprint.answers(200, schemas.Webhook, "The endpoint.", example=examples.WEBHOOK)
@blueprint.fails(404)
@crm_or_operator_required
def show(webhook_id: str) -> Response:
    """Get an endpoint"""
    with services().database.reading() as session:
        endpoint = readers.endpoint(session, webhook_id)
        return answer(readers.with_crm(session, endpoints.shapes(session, [endpoint]))[0])


@blueprint.on("PATCH", "/webhooks/<webhook_id>")
@blueprint.answers(200, schemas.Webhook, "The updated endpoint.", example=examples.WEBHOOK)
@blueprint.fails(404)
@crm_required
@blueprint.takes(schemas.WebhookChanges, examples={"on": {"value": {"enabled": True}}})
def change(body: dict[str, Any], webhook_id: str) -> Response:
    """Change an endpoint

    Enabling an endpoint again sends the deliveries that were waiting. To get the events that happened while it was
    disabled, use `POST /api/v1/webhooks/{id}/recover`.
    """
    changes = cast(endpoints.Changes, dict(body))
    if "url" in body:
        changes["url"] = _checked(body["url"])
    with services().database.transaction() as session:
        endpoint = _get(session, webhook_id)
        endpoints.update(session, endpoint, changes, clock.now())
        session.flush()
        return answer(endpoints.shape(session, endpoint))


@blueprint.removes("/webhooks/<webhook_id>", "The endpoint was removed.")
@crm_required
def remove(webhook_id: str) -> Response:
    """Remove an endpoint

    Deliveries that were waiting are discarded; the events stay in the feed.
    """
    with services().database.transaction() as session:
        endpoints.remove(session, _get(session, webhook_id), clock.now())
    return Response(status=204)


@blueprint.on("POST", "/webhooks/<webhook_id>/test")
@blueprint.answers(
    202,
    schemas.DeliveryWithAttempts,
    "The test event is being sent.",
    example=examples.DELIVERY_PENDING,
)
@blueprint.fails(404)
@crm_required
def test(webhook_id: str) -> Response:
    """Test an endpoint

    Sends one `webhook.ping` event. Get the delivery to see the result.
    """

    def act(session: Session, now: datetime) -> Response:
        delivery_id = deliveries.ping(session, _get(session, webhook_id), now)
        delivery = deliveries.get(session, this_crm().id, delivery_id)
        url = f"/api/v1/deliveries/{delivery_id}"
        return answer(deliveries.shape(session, delivery), 202, url)

    return once(act)


@blueprint.on("POST", "/webhooks/<webhook_id>/rotate-secret")
@blueprint.answers(
    200, WebhookSecret, "The new signing secret, which is shown only once.", example=examples.SECRET
)
@blueprint.fails(404)
@crm_required
@blueprint.takes(schemas.Rotation, examples={"leaked": {"value": {"grace_seconds": 0}}})
def rotate_secret(body: dict[str, Any], webhook_id: str) -> Response:
    """Rotate an endpoint's secret

    The old secret signs too for a day, or for `grace_seconds`, so that you can switch without losing an event.
    """

    def act(session: Session, now: datetime) -> Response:
        endpoint = _get(session, webhook_id)
        secret = signing_secrets.rotate(session, endpoint, body["grace_seconds"], now)
        return answer({"id": endpoint.id, "secret": secret})

    return once_with_secret(act)


def _checked(url: str) -> urls.Checked:
    return urls.checked(url, services().settings.webhook_allowed_networks)


def _get(session: Session, webhook_id: str) -> WebhookEndpoint:
    return endpoints.get(session, this_crm().id, webhook_id)
