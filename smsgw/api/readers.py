"""Whose things a reader asks for: a CRM reads its own, an operator those of all CRMs or of the one in `?crm=`."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from ..core.accounts import crms, operator_json
from ..core.webhooks import deliveries, endpoints
from ..errors import Invalid
from ..http.guards import find_crm
from ..store.models import Delivery, WebhookEndpoint
from ..store.rows import AnyCrm


def wanted_crm(session: Session, query: Mapping[str, Any]) -> AnyCrm | None:
    """The CRM whose things are asked for, `None` for those of all; `Invalid` where a CRM gives a filter."""
    caller, name = find_crm(), query.get("crm")
    if caller is None:
        return None if name is None else crms.get(session, name)
    if name is not None:
        text = "Only an operator may give this; a CRM reads its own."
        raise Invalid(f"crm: {text}", details={"crm": [text]})
    return caller


def with_crm(session: Session, shapes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shapes as a CRM sees them; for operators with the name of the CRM whose `crm_id` stands there."""
    found = list(shapes)
    if find_crm() is not None:
        return found
    names = operator_json.crm_names(session, {shape["crm_id"] for shape in found})
    return [{**shape, "crm": names.get(shape["crm_id"])} for shape in found]


def endpoint(session: Session, webhook_id: str) -> WebhookEndpoint:
    """The endpoint, a CRM's own or for an operator any; `NotFound` otherwise."""
    crm = find_crm()
    if crm is None:
        return endpoints.get_any(session, webhook_id)
    return endpoints.get(session, crm.id, webhook_id)


def delivery(session: Session, delivery_id: str) -> Delivery:
    """The delivery, a CRM's own or for an operator any; `NotFound` otherwise."""
    crm = find_crm()
    if crm is None:
        return deliveries.get_any(session, delivery_id)
    return deliveries.get(session, crm.id, delivery_id)


def of_endpoint(
    session: Session, endpoint: WebhookEndpoint, shape: dict[str, Any]
) -> dict[str, Any]:
    """A delivery to this endpoint as a CRM sees it; for operators with the CRM whose endpoint it is."""
    if find_crm() is not None:
        return shape
    return with_crm(session, [{**shape, "crm_id": endpoint.crm_id}])[0]
