"""Finds the webhooks that the signed-in person may see: for a clerk, those of the clerk's CRMs."""

from ..core.accounts import operator_json
from ..core.webhooks import deliveries, endpoints
from ..errors import NotFound
from ..store.db import Session
from ..store.models import Delivery, WebhookEndpoint
from . import visitors


def everyone(session: Session) -> list[WebhookEndpoint]:
    """Return the endpoints that the person may see, oldest first."""
    access = visitors.access(session)
    return [each for each in endpoints.everyone(session) if access.includes(each.crm_id)]


def endpoint(session: Session, webhook_id: str) -> WebhookEndpoint:
    """Return the endpoint. Raises `NotFound` if the person may not see it."""
    found = endpoints.get_any(session, webhook_id)
    if not visitors.access(session).includes(found.crm_id):
        raise NotFound(f"no webhook endpoint {webhook_id[:80]!r}")
    return found


def delivery(session: Session, delivery_id: str) -> tuple[Delivery, WebhookEndpoint]:
    """Return the delivery and its endpoint. Raises `NotFound` if the person may not see them."""
    found = deliveries.get_any(session, delivery_id)
    return found, endpoint(session, found.endpoint_id)


def crm_name(session: Session, found: WebhookEndpoint) -> str:
    """Return the name of the CRM that the endpoint belongs to."""
    return operator_json.crm_names(session, [found.crm_id])[found.crm_id]
