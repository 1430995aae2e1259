"""Serves the deliveries of webhook endpoints: listing, replaying and recovering them."""

from datetime import datetime
from typing import Any

from flask import Response

from ..core.webhooks import deliveries, endpoints
from ..http.answers import answer
from ..http.context import services
from ..http.guards import crm_or_operator_required, crm_required, this_crm
from ..http.idempotency import once
from ..store.db import Session
from . import readers
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import webhooks as examples
from .schemas import webhooks as schemas

blueprint = DocumentedBlueprint(
    "Deliveries", "The events sent to your endpoints, with the responses of your server."
)


@blueprint.on("GET", "/webhooks/<webhook_id>/deliveries")
@blueprint.answers(
    200, schemas.DeliveryPage, "A page of deliveries.", example=examples.DELIVERY_PAGE
)
@blueprint.fails(404)
@crm_or_operator_required
@blueprint.takes(schemas.DeliveryQuery, location="query")
def list_deliveries(query: dict[str, Any], webhook_id: str) -> Response:
    """List an endpoint's deliveries

    The newest delivery comes first.
    """
    with services().database.reading() as session:
        endpoint = readers.endpoint(session, webhook_id)
        found, next_cursor = deliveries.page(
            session, endpoint, query.get("status"), query.get("cursor"), query["limit"]
        )
        data = [readers.of_endpoint(session, endpoint, one) for one in found]
        return answer({"data": data, "next_cursor": next_cursor})


@blueprint.on("GET", "/deliveries/<delivery_id>")
@blueprint.answers(
    200, schemas.DeliveryWithAttempts, "The delivery.", example=examples.DELIVERY_WITH_ATTEMPTS
)
@blueprint.fails(404)
@crm_or_operator_required
def show(delivery_id: str) -> Response:
    """Get a delivery

    Includes each attempt and your server's response.
    """
    with services().database.reading() as session:
        delivery = readers.delivery(session, delivery_id)
        endpoint = endpoints.of_delivery(session, delivery)
        shown = deliveries.shape(session, delivery)
        return answer(readers.of_endpoint(session, endpoint, shown))


@blueprint.on("POST", "/deliveries/<delivery_id>/replay")
@blueprint.answers(
    202,
    schemas.DeliveryWithAttempts,
    "The delivery is sent again.",
    example=examples.DELIVERY_PENDING,
)
@blueprint.fails(404)
@crm_required
def replay(delivery_id: str) -> Response:
    """Replay a delivery

    Sends the event again at once, with the same `webhook-id` and a new signature.
    """

    def act(session: Session, now: datetime) -> Response:
        delivery = deliveries.get(session, this_crm().id, delivery_id)
        deliveries.replay(session, delivery, now)
        session.flush()
        url = f"/api/v1/deliveries/{delivery_id}"
        return answer(deliveries.shape(session, delivery), 202, url)

    return once(act)


@blueprint.on("POST", "/webhooks/<webhook_id>/recover")
@blueprint.answers(
    202, schemas.Recovered, "The missed events are sent.", example=examples.RECOVERED
)
@blueprint.fails(404)
@crm_required
@blueprint.takes(schemas.Recovery, examples={"since": {"value": examples.RECOVERY}})
def recover(body: dict[str, Any], webhook_id: str) -> Response:
    """Recover missed events

    Sends the events of a period that this endpoint subscribes to and has not received: those that were given up, and
    those that happened while the endpoint was disabled.
    """

    def act(session: Session, now: datetime) -> Response:
        endpoint = endpoints.get(session, this_crm().id, webhook_id)
        until = body.get("until") or now
        return answer(deliveries.recover(session, endpoint, body["since"], until, now), 202)

    return once(act)
