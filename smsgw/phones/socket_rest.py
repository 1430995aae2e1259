"""The REST half of the device's side of the CRM WebSocket API: registering, and opening a device's socket."""

import logging
from datetime import datetime
from typing import Any

from flask import Blueprint, Response
from sqlalchemy.orm import Session

from .. import clock
from ..core import devices, logins, mapping, routing
from ..core.logins import Login
from ..core.protocols import SOCKET
from ..core.rows import AnyCrm
from ..errors import Conflict, Forbidden, Invalid
from ..http import keys
from ..http.answers import answer
from ..http.flushing import flusher
from ..http.guards import public
from ..http.wiring import house
from ..live import frames, upgrade
from ..sms import numbers
from ..store.models import Device
from . import socket

_LOG = logging.getLogger("smsgw.devices")

blueprint = Blueprint("device_sockets", __name__)


@blueprint.post("/registerDevice")
@public
def register_device() -> Response:
    """Makes a device, or gives one a new token: for operators, CRMs, the device itself, and all while it is open."""
    key = keys.bearer()
    crm, login = keys.find_crm(key), _find_login(key)
    is_operator = keys.is_operator(key)
    now = clock.now()
    if crm is None and login is None and not is_operator:
        keys.check_open(now)
    body = keys.json_body()
    device_id, phone = keys.text(body, "deviceId"), keys.optional_text(body, "phoneNumber")
    _check_phone(phone)
    with house().database.transaction() as session:
        known = session.get(Device, device_id, with_for_update=True)
        if known is None or known.removed_at is not None:
            known = None
            made, token = _make(session, device_id, phone, crm, now)
        else:
            _check_may_rotate(session, known, crm, login, is_operator)
            made, token = known, devices.rotate_key(known)
            devices.set_phone(known, phone or known.phone, house().settings.default_region)
            if crm is not None:
                mapping.put(session, crm, made)
        shown = _shape(made, token)
    return answer(shown, 201 if known is None else 200)


def open_socket(key: str) -> Response | None:
    """Opens the socket of the device that owns this token; `None` for other keys."""
    login = _find_login(key)
    if login is None:
        return None
    if not login.enabled:
        raise Forbidden("this device is disabled on the server", code="device_disabled")
    served = socket.Served(house().settings, house().database, flusher())
    return upgrade.accept(socket.Conversation(served, login), [frames.SUBPROTOCOL])


def _find_login(key: str) -> Login | None:
    if not key.startswith("gw_live_"):
        return None
    return logins.find_by_key(house().database, key, clock.now())


def _check_phone(phone: str | None) -> None:
    fault = None if phone is None else numbers.refusal(phone, house().settings.default_region)
    if fault is not None:
        raise Invalid(f"phoneNumber: {fault}", details={"phoneNumber": [fault]})


def _make(
    session: Session, device_id: str, phone: str | None, crm: AnyCrm | None, now: datetime
) -> tuple[Device, str]:
    region = house().settings.default_region
    try:
        device, token = devices.add_with_key(session, device_id, phone, region, now)
    except Invalid as error:
        raise frames.reworded(error) from None
    device.protocol = SOCKET
    crm = crm or mapping.find_only_crm(session)
    if crm is not None:
        mapping.put(session, crm, device)
    elif not routing.ids_for_device(session, device.id):
        _LOG.warning("the device %s belongs to no CRM: map it, or nobody gets its SMS", device.id)
    return device, token


def _check_may_rotate(
    session: Session, device: Device, crm: AnyCrm | None, login: Login | None, is_operator: bool
) -> None:
    """A new token is a new owner: only for who could have given the old one, or has it."""
    if device.protocol != SOCKET:
        text = f"the device {device.id!r} is there already, with another app"
        raise Conflict(text, code="device_exists")
    is_itself = login is not None and login.device_id == device.id
    is_of_crm = crm is not None and routing.may_use(session, crm, device.id)
    if not (is_operator or is_itself or is_of_crm):
        text = f"the device {device.id!r} is there already: its token, its CRM's or an operator's key is needed"
        raise Conflict(text, code="device_exists")


def _shape(device: Device, token: str) -> dict[str, Any]:
    return {
        "deviceId": device.id,
        "phoneNumber": device.phone,
        "token": token,
        "webSocketUrl": keys.web_socket_url(house().settings, f"token={token}"),
    }
