"""Serves `/api/v1/crms`, where operators manage the programs that send and receive SMS."""

from datetime import datetime
from typing import Any

from flask import Response

from .. import clock
from ..core.accounts import crms
from ..core.webhooks import endpoints, urls
from ..errors import NotFound
from ..http.answers import answer
from ..http.context import services
from ..http.guards import operator_required, person_required, this_access
from ..http.idempotency import once, once_with_secret
from ..store.db import Session
from ..store.models import Crm
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import crms as examples
from .schemas import crms as schemas

blueprint = DocumentedBlueprint(
    "CRMs", "The programs that send and receive SMS, and their API keys. For operators only."
)


@blueprint.on("GET", "/crms")
@blueprint.answers(200, schemas.Crms, "All CRMs, oldest first.", example={"data": [examples.CRM]})
@person_required
def list_crms() -> Response:
    """List CRMs

    A clerk gets those that are the clerk's.
    """
    with services().database.reading() as session:
        found = [crm for crm in crms.everyone(session) if this_access().includes(crm.id)]
        return answer({"data": crms.shapes(session, found)})


@blueprint.on("POST", "/crms")
@blueprint.answers(
    201,
    schemas.CrmLogin,
    "The new CRM and its API key, which is shown only once.",
    example=examples.CRM_LOGIN,
)
@operator_required
@blueprint.takes(schemas.NewCrm, examples={"clinic": {"value": examples.NEW_CRM}})
def add(body: dict[str, Any]) -> Response:
    """Add a CRM

    With `callback_url`, a webhook endpoint for all of its events is created too.
    """
    callback_url = body.get("callback_url")
    allowed = services().settings.webhook_allowed_networks
    url = None if callback_url is None else urls.checked(callback_url, allowed)

    def act(session: Session, now: datetime) -> Response:
        crm, key = crms.add(session, body["name"], body.get("device_ids"), now)
        webhook = None if url is None else _webhook(session, crm, url, now)
        return answer({**_key(crm, key), "webhook": webhook}, 201, f"/api/v1/crms/{crm.id}")

    return once_with_secret(act)


@blueprint.on("GET", "/crms/<crm_id>")
@blueprint.answers(200, schemas.CrmSchema, "The CRM.", example=examples.CRM)
@blueprint.fails(404)
@person_required
def show(crm_id: str) -> Response:
    """Get a CRM

    Accepts the ID or the name.
    """
    with services().database.reading() as session:
        crm = crms.get(session, crm_id)
        if not this_access().includes(crm.id):
            raise NotFound(f"no CRM {crm_id[:80]!r}")
        return answer(_shape(session, crm))


@blueprint.on("PATCH", "/crms/<crm_id>")
@blueprint.answers(200, schemas.CrmSchema, "The updated CRM.", example=examples.CRM)
@blueprint.fails(404, 409)
@operator_required
@blueprint.takes(schemas.CrmChanges, examples={"all": {"value": {"device_ids": None}}})
def change(body: dict[str, Any], crm_id: str) -> Response:
    """Change a CRM

    If `device_ids` no longer contains a device, queued messages that only that device may send are cancelled. While a
    CRM is disabled, its own devices are refused and send nothing, and the messages that it has queued for other devices
    wait. Messages for it are still received, stored and sent to its webhooks.
    """
    with services().database.transaction() as session:
        crm = crms.get(session, crm_id)
        crms.update(session, crm, body, clock.now())
        return answer(_shape(session, crm))


@blueprint.removes("/crms/<crm_id>", "The CRM was removed.")
@operator_required
def remove(crm_id: str) -> Response:
    """Remove a CRM

    Its API key stops working at once, its own devices are removed, and its queued messages are cancelled. Its message
    history is kept.
    """
    with services().database.transaction() as session:
        crms.remove(session, crms.get(session, crm_id), clock.now())
    return Response(status=204)


@blueprint.on("POST", "/crms/<crm_id>/approve")
@blueprint.answers(200, schemas.CrmSchema, "The updated CRM.", example=examples.CRM)
@blueprint.fails(404)
@operator_required
def approve(crm_id: str) -> Response:
    """Approve a CRM

    Confirms a CRM that registered itself. To let it use other devices than its own, set `device_ids` with `PATCH`,
    which approves it too.
    """

    def act(session: Session, _now: datetime) -> Response:
        crm = crms.get(session, crm_id)
        crms.approve(crm)
        session.flush()
        return answer(_shape(session, crm))

    return once(act)


@blueprint.on("POST", "/crms/<crm_id>/rotate")
@blueprint.answers(
    200, schemas.CrmKey, "The new API key, which is shown only once.", example=examples.CRM_KEY
)
@blueprint.fails(404)
@operator_required
def rotate(crm_id: str) -> Response:
    """Rotate a CRM's API key

    The old key stops working at once.
    """

    def act(session: Session, _now: datetime) -> Response:
        crm = crms.get(session, crm_id)
        return answer(_key(crm, crms.rotate(crm)), 200, f"/api/v1/crms/{crm.id}")

    return once_with_secret(act)


def _webhook(session: Session, crm: Crm, url: urls.Checked, now: datetime) -> dict[str, str]:
    endpoint, secret = endpoints.add(
        session, crm, url, most=services().settings.webhooks_per_crm, now=now
    )
    return {"id": endpoint.id, "secret": secret}


def _key(crm: Crm, key: str) -> dict[str, str]:
    return {"id": crm.id, "name": crm.name, "api_key": key}


def _shape(session: Session, crm: Crm) -> dict[str, Any]:
    return crms.shapes(session, [crm])[0]
