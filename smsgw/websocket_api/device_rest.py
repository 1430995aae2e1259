"""Registers devices over the REST half of the CRM WebSocket API, and opens their sockets."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, g

from .. import clock
from ..core.accounts import enrolment, ownership
from ..core.devices import pairing, registry, routing
from ..core.devices.logins import Login
from ..core.devices.protocols import SOCKET
from ..errors import Conflict, Forbidden, Invalid, Unauthorized
from ..http import bodies, credentials
from ..http.answers import answer
from ..http.context import services
from ..http.guards import check_admitted, public
from ..live import upgrade
from ..sms import numbers
from ..store.db import Session
from ..store.models import Device
from ..store.rows import Caller
from . import device_socket, frames, keys

_LOG = logging.getLogger("smsgw.devices")

blueprint = Blueprint("device_sockets", __name__)


@dataclass(frozen=True)
class _Registrant:
    """The caller that asks for a token: an operator, a CRM, a device with its old token, or an unknown one."""

    is_operator: bool
    crm: Caller | None
    login: Login | None

    @property
    def is_known(self) -> bool:
        return self.is_operator or self.crm is not None or self.login is not None


@blueprint.post("/registerDevice")
@public
def register_device() -> Response:
    """Make a device or renew its token, for operators, CRMs, the device, and anyone while registration is open."""
    key = credentials.bearer()
    who = _Registrant(keys.is_operator(key), keys.find_crm(key), credentials.find_device(key))
    g.device = who.login
    now = clock.now()
    if not who.is_known:
        keys.check_open(pairing.PHONES, now)
    body = keys.json_body()
    device_id, phone = bodies.text(body, "deviceId"), bodies.optional_text(body, "phoneNumber")
    _check_phone(phone)
    with services().database.transaction() as session:
        known = _find_known(session, device_id, who)
        if known is None:
            made, token = _make(session, device_id, phone, who, now)
        else:
            made, token = known, _renew(session, known, phone, who, now)
        shown = _shape(made, token)
    return answer(shown, 201 if known is None else 200)


def open_socket(key: str) -> Response | None:
    """Open the socket of the device that owns this token; `None` for other keys."""
    login = credentials.find_device(key)
    if login is None:
        return None
    check_admitted(login)
    return upgrade.accept(device_socket.DeviceConversation(services(), login), [frames.SUBPROTOCOL])


def _check_phone(phone: str | None) -> None:
    fault = None if phone is None else numbers.refusal(phone, services().settings.default_region)
    if fault is not None:
        raise Invalid.field("phoneNumber", fault)


def _find_known(session: Session, device_id: str, who: _Registrant) -> Device | None:
    """Return the device of that name, locked; `None` where there is none, or where an operator restores it."""
    device = registry.lock_any(session, device_id)
    is_gone = device is not None and device.removed_at is not None
    return None if is_gone and who.is_operator else device


def _make(
    session: Session, device_id: str, phone: str | None, who: _Registrant, now: datetime
) -> tuple[Device, str]:
    try:
        device, token = _add(session, device_id, phone, who, now)
    except Invalid as error:
        raise frames.reworded(error) from None
    device.protocol = SOCKET
    if who.is_operator:
        ownership.map_to_only_crm(session, device)
        if not routing.ids_for_device(session, device.id):
            _LOG.warning(
                "the device %s belongs to no CRM: map it, or nobody gets its SMS", device.id
            )
    return device, token


def _add(
    session: Session, device_id: str, phone: str | None, who: _Registrant, now: datetime
) -> tuple[Device, str]:
    settings = services().settings
    if who.is_operator:
        return enrolment.add_with_key(session, device_id, phone, settings.default_region, now)
    if who.crm is not None:
        return ownership.add_for_crm(session, who.crm.id, device_id, phone, settings, now)
    if who.login is not None:
        raise Forbidden("a device's token is valid for that device only", code="other_device")
    return ownership.add_waiting(session, device_id, phone, settings.default_region, now)


def _renew(
    session: Session, device: Device, phone: str | None, who: _Registrant, now: datetime
) -> str:
    """Return a new token, which voids the old one. Raises `Conflict` for a caller that may not have it."""
    _check_may_rotate(device, who)
    if who.is_operator:
        ownership.approve(session, device)
    token = enrolment.rotate_key(session, device, now)
    enrolment.set_phone(device, phone or device.phone, services().settings.default_region)
    return token


def _check_may_rotate(device: Device, who: _Registrant) -> None:
    """Refuse a new token, which may mean a new holder, except to an operator, the owning CRM, or the device itself."""
    login = who.login
    is_itself = login is not None and login.device_id == device.id
    if login is not None and is_itself and login.secret_hash != device.secret_hash:
        raise Unauthorized("the device's token was replaced by a newer one")
    is_disabled = not device.enabled or (login is not None and not login.enabled)
    is_owner = who.crm is not None and who.crm.id == device.owner_crm_id
    if not (who.is_operator or is_itself or is_owner):
        text = f"the device {device.id!r} exists already: its token, its CRM's key or an operator's key is needed"
        raise Conflict(text, code="device_exists")
    if device.removed_at is not None or (is_disabled and not who.is_operator):
        text = f"the device {device.id!r} was removed or disabled; only an operator can restore it"
        raise Conflict(text, code="device_exists")
    if device.protocol != SOCKET and not is_owner:
        text = f"the device {device.id!r} exists already with another app"
        raise Conflict(text, code="device_exists")


def _shape(device: Device, token: str) -> dict[str, Any]:
    return {
        "deviceId": device.id,
        "phoneNumber": device.phone,
        "token": token,
        "webSocketUrl": keys.web_socket_url(services().settings, f"token={token}"),
    }
