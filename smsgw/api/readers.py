"""Finds the objects that a caller may read: a CRM its own, an operator those of all CRMs or of the one in `?crm=`."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.accounts import crms, operator_json
from ..core.messages.newest import CrmIds
from ..core.webhooks import deliveries, endpoints
from ..errors import Invalid
from ..http.guards import find_crm, is_person
from ..store.db import Session
from ..store.models import Delivery, WebhookEndpoint
from ..store.rows import AnyCrm


def wanted_crm(session: Session, query: Mapping[str, Any]) -> AnyCrm | None:
    """Return the CRM whose objects to list, `None` for all CRMs; `Invalid` if a CRM sets this filter."""
    caller, name = find_crm(), query.get("crm")
    if caller is None:
        return None if name is None else crms.get(session, name)
    if name is not None and not is_person():
        raise Invalid.field("crm", "Only operators may use this filter.")
    return caller


def crm_ids(crm: AnyCrm | None) -> CrmIds:
    """Return the CRM as those whose messages are read; `None` for all."""
    return None if crm is None else [crm.id]


def with_crm(session: Session, shapes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects; for operators, add the name of the CRM in `crm_id`."""
    found = list(shapes)
    if find_crm() is not None:
        return found
    names = operator_json.crm_names(session, {shape["crm_id"] for shape in found})
    return [{**shape, "crm": names.get(shape["crm_id"])} for shape in found]


def endpoint(session: Session, webhook_id: str) -> WebhookEndpoint:
    """Return the endpoint; `NotFound` if it does not exist or belongs to another CRM than the caller."""
    crm = find_crm()
    if crm is None:
        return endpoints.get_any(session, webhook_id)
    return endpoints.get(session, crm.id, webhook_id)


def delivery(session: Session, delivery_id: str) -> Delivery:
    """Return the delivery; `NotFound` if it does not exist or belongs to another CRM than the caller."""
    crm = find_crm()
    if crm is None:
        return deliveries.get_any(session, delivery_id)
    return deliveries.get(session, crm.id, delivery_id)


def of_endpoint(
    session: Session, endpoint: WebhookEndpoint, shape: dict[str, Any]
) -> dict[str, Any]:
    """Return a delivery to this endpoint; for operators, add the CRM that the endpoint belongs to."""
    if find_crm() is not None:
        return shape
    return with_crm(session, [{**shape, "crm_id": endpoint.crm_id}])[0]
