"""Serves `/api/v1/devices`: a CRM reads the devices it may use, an operator reads and changes all."""

from datetime import datetime
from typing import Any

from flask import Response

from .. import clock
from ..core.accounts import crms, enrolment, ownership
from ..core.devices import breaker, monthly_recipients, registry, routing
from ..errors import NotFound
from ..http.answers import answer
from ..http.context import services
from ..http.guards import crm_or_operator_required, find_crm, operator_required
from ..http.idempotency import once, once_with_secret
from ..store.db import Session
from ..store.models import Device
from . import readers
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import devices as examples
from .schemas import devices as schemas
from .schemas.message_requests import CrmQuery

blueprint = DocumentedBlueprint(
    "Devices", "The phones. A CRM sees those it may use; an operator sees and manages all."
)


@blueprint.on("GET", "/devices")
@blueprint.answers(
    200, schemas.Devices, "The devices, sorted by name.", example={"data": [examples.DEVICE]}
)
@crm_or_operator_required
@blueprint.takes(CrmQuery, location="query")
def list_devices(query: dict[str, Any]) -> Response:
    """List devices

    A CRM gets the devices it may use. An operator gets all devices, or those that the CRM given in `crm` may use.
    """
    with services().database.reading() as session:
        crm = readers.wanted_crm(session, query)
        if crm is None:
            rows = registry.everyone(session)
        else:
            rows = registry.several(session, routing.device_ids_of(session, crm))
        return answer({"data": _shapes(session, rows, is_operator=find_crm() is None)})


@blueprint.on("POST", "/devices")
@blueprint.answers(
    201, schemas.DeviceLogin, "The login, which is shown only once.", example=examples.DEVICE_LOGIN
)
@operator_required
@blueprint.takes(schemas.NewDevice, examples={"phone": {"value": examples.NEW_DEVICE}})
def add(body: dict[str, Any]) -> Response:
    """Add a device

    The secret is shown only in this response: write it down, or enter the `url` in the phone's app at once. A device
    that was removed returns with its history.
    """
    make = enrolment.add_with_key if body["key"] else enrolment.add_with_password

    def act(session: Session, now: datetime) -> Response:
        region = services().settings.default_region
        device, secret = make(session, body["device_id"], body.get("phone"), region, now)
        return _login(device, secret, 201)

    return once_with_secret(act)


@blueprint.on("GET", "/devices/<device_id>")
@blueprint.answers(200, schemas.DeviceSchema, "The device.", example=examples.DEVICE)
@blueprint.fails(404)
@crm_or_operator_required
def show(device_id: str) -> Response:
    """Get a device"""
    crm = find_crm()
    with services().database.reading() as session:
        if crm is not None and not routing.may_use(session, crm, device_id):
            raise NotFound(f"no device {device_id[:80]!r}")
        device = registry.get(session, device_id)
        return answer(_shapes(session, [device], is_operator=crm is None)[0])


@blueprint.on("PATCH", "/devices/<device_id>")
@blueprint.answers(200, schemas.DeviceSchema, "The updated device.", example=examples.OWN_DEVICE)
@blueprint.fails(404)
@operator_required
@blueprint.takes(
    schemas.DeviceChanges,
    examples={
        "off": {"value": {"enabled": False}},
        "limits": {"value": {"limits": {"segments_per_hour": 100, "segments_per_minute": None}}},
    },
)
def change(body: dict[str, Any], device_id: str) -> Response:
    """Change a device

    Set `crm` to give the device to one CRM, or to `null` to give it to the operators. Messages that were queued for it
    by CRMs that may no longer use it are cancelled. Its secret does not change: rotate it if the previous CRM must no
    longer be able to use it.
    `limits` changes only the limits that it names. Enabling a device also ends its pause.
    """
    with services().database.transaction() as session:
        device = registry.get(session, device_id)
        if "crm" in body:
            owner = None if body["crm"] is None else crms.get(session, body["crm"])
            ownership.assign(session, device, owner, clock.now())
        if "phone" in body:
            enrolment.set_phone(device, body["phone"], services().settings.default_region)
        wanted = body.get("limits") or {}
        monthly_recipients.change_limits(session, device, wanted, services().settings, clock.now())
        if body.get("enabled") is True and not device.enabled:
            enrolment.enable(session, device)
        if body.get("enabled") is False:
            enrolment.disable(device)
        session.flush()
        return answer(_shape(session, device))


@blueprint.removes("/devices/<device_id>", "The device was removed.")
@operator_required
def remove(device_id: str) -> Response:
    """Remove a device

    Its messages are kept, and messages that it submits again later are still recognised by their IDs. The messages that
    it was handed and has not sent fail as `unconfirmed`, because it may have sent them.
    """
    with services().database.transaction() as session:
        enrolment.remove(session, registry.get(session, device_id), clock.now())
    return Response(status=204)


@blueprint.on("POST", "/devices/<device_id>/reset")
@blueprint.answers(
    200,
    schemas.DeviceSchema,
    "The device, with no messages in flight.",
    example=examples.OWN_DEVICE,
)
@blueprint.fails(404)
@operator_required
def reset(device_id: str) -> Response:
    """Reset a device

    Use this when a phone has lost its data: its app was reinstalled, its data was cleared, or it was replaced. The
    messages that it was handed (`dispatched`, `accepted`, `sending`) fail as `unconfirmed`, because it may have sent
    them. A later report from the phone still corrects their status, and resending them requires `may_duplicate`. The
    device gets new messages at once.
    """
    with services().database.transaction() as session:
        device = registry.get(session, device_id)
        enrolment.reset(session, device, clock.now())
        return answer(_shape(session, device))


@blueprint.on("POST", "/devices/<device_id>/resume")
@blueprint.answers(200, schemas.DeviceSchema, "The updated device.", example=examples.OWN_DEVICE)
@blueprint.fails(404)
@operator_required
def resume(device_id: str) -> Response:
    """End the pause of a device

    A device is paused after a message failed because of a limit, or after five failures in a row without a reason.
    After the pause it is given one message at a time until one is sent. Resume a device once its phone can send again.
    """

    def act(session: Session, _now: datetime) -> Response:
        device = registry.get(session, device_id)
        breaker.resume(session, device)
        return answer(_shape(session, device))

    return once(act)


@blueprint.on("POST", "/devices/<device_id>/approve")
@blueprint.answers(200, schemas.DeviceSchema, "The updated device.", example=examples.OWN_DEVICE)
@blueprint.fails(404)
@operator_required
def approve(device_id: str) -> Response:
    """Approve a device

    Admits a device that registered itself without an API key. Until then it is refused, and no CRM may use it.
    """

    def act(session: Session, _now: datetime) -> Response:
        device = registry.get(session, device_id)
        ownership.approve(session, device)
        session.flush()
        return answer(_shape(session, device))

    return once(act)


@blueprint.on("POST", "/devices/<device_id>/rotate")
@blueprint.answers(
    200,
    schemas.DeviceLogin,
    "The new login, which is shown only once.",
    example=examples.DEVICE_LOGIN,
)
@blueprint.fails(404)
@operator_required
@blueprint.takes(schemas.NewSecret, examples={"password": {"value": {}}})
def rotate(body: dict[str, Any], device_id: str) -> Response:
    """Rotate a device's secret

    The old secret stops working at once. Because another phone may use the new one, messages that the device was handed
    and has not confirmed are not handed out again: its next polls confirm them, or they fail as `unconfirmed`.
    """
    make = enrolment.rotate_key if body["key"] else enrolment.rotate

    def act(session: Session, now: datetime) -> Response:
        device = registry.get(session, device_id)
        return _login(device, make(session, device, now), 200)

    return once_with_secret(act)


def _login(device: Device, secret: str, status: int) -> Response:
    shape = enrolment.login_shape(device.id, secret, services().settings.base_url)
    return answer(shape, status, f"/api/v1/devices/{device.id}")


def _shape(session: Session, device: Device) -> dict[str, Any]:
    return _shapes(session, [device], is_operator=True)[0]


def _shapes(session: Session, rows: list[Device], is_operator: bool) -> list[dict[str, Any]]:
    shapes = ownership.shapes if is_operator else registry.shapes
    return shapes(session, rows, services().settings, clock.now())
