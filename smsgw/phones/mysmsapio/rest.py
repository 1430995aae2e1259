"""Serves MySMSAPio's REST API: registration, heartbeats, SMS received, delivery reports, and sending for CRMs.

Its socket is `cable`. Errors are `{"success": false, "error": "…"}` under all its URLs.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Flask, Response, g, request

from ... import clock, json_reader
from ...core.accounts import ownership, rate_limits
from ...core.accounts.rate_limits import Limit, RateState
from ...core.devices import locking, pairing, protocols, registry
from ...core.messages import queueing
from ...core.messages.drafts import Draft
from ...errors import BadRequest, Conflict, Invalid
from ...http import answers, bodies, key_kinds, rates, refusals
from ...http.context import services
from ...http.guards import crm_required, device_required, public, this_crm, this_device
from ...http.idempotency import once
from ...sms.texts import storable
from ...store.db import Session
from ...store.models import Device
from . import translation

MAX_BODY_BYTES = 1024 * 1024
MAX_NAME = 200
# The document's limit of one heartbeat a minute contradicts its shortest interval of 30 s.
HEARTBEATS = Limit("heartbeat", 4, 60)
# These two are announced in headers, never enforced: the document's app drops an SMS whose POST fails.
RECEIVED = Limit("received", 100, 60)
REPORTED = Limit("reported", 1000, 60)
REGISTRATIONS = Limit("registration", 10, 60)

Act = Callable[[Session, datetime], None]

blueprint = Blueprint("mysmsapio", __name__)


def register(app: Flask) -> None:
    """Add these URLs to the app, and their errors."""
    app.register_blueprint(blueprint)
    for path in ("/api/v1/gateway", "/api/v1/sms"):
        answers.use_dialect(app, path, _error)


@blueprint.get("/up")
@public
def up() -> Response:
    """Answer that the server is up."""
    return answers.answer({"status": "ok"})


@blueprint.post("/api/v1/gateway/register")
@public
def registerthis_device() -> Response:
    """Make a device with a key, while registration is open; an operator has to approve it."""
    now = clock.now()
    with services().database.reading() as session:
        pairing.PHONES.check_open(session, services().settings, now)
    rate = _count(REGISTRATIONS, refusals.network_of(request.remote_addr or ""), now)
    if not rate.is_allowed:
        return _refuse(rate)
    body = _body()
    device_id, name = bodies.text(body, "device_id"), bodies.text(body, "name")
    with services().database.transaction() as session:
        device, key = _make(session, device_id, now)
        device.name = storable(name)[:MAX_NAME]
        device.protocol = protocols.MYSMSAPIO
        device.app_version = _app_version(body.get("device_info"))
        number = registry.count_ever(session)
    shown = {
        "id": number,
        "device_id": device_id,
        "name": name,
        "api_key": key,
        "status": "offline",
        "active": True,
    }
    made = {"success": True, "message": "Gateway registered successfully", "gateway": shown}
    return answers.answer(made, 201)


@blueprint.post("/api/v1/gateway/heartbeat")
@device_required
def heartbeat() -> Response:
    """Note that the app shows a sign of life."""
    now = clock.now()
    rate = _count(HEARTBEATS, this_device().device_id, now)
    if not rate.is_allowed:
        return _refuse(rate)
    _body()
    with services().database.transaction() as session:
        locking.admit(session, this_device())
    services().last_seen_writer.note(this_device(), now, None, protocols.MYSMSAPIO)
    shown = {"success": True, "message": "Heartbeat received", "gateway_status": "online"}
    return rates.add_headers(answers.answer(shown), rate)


@blueprint.post("/api/v1/gateway/sms/received")
@device_required
def sms_received() -> Response:
    """Store an SMS that the device received."""
    now = clock.now()
    rate = _count(RECEIVED, this_device().device_id, now)
    payload = _body()
    try:
        with services().database.transaction() as session:
            message_id = translation.take_sms(
                session, services().settings, this_device(), payload, now
            )
    except Invalid as error:
        with services().database.transaction() as session:
            translation.keep_unreadable(session, this_device(), payload, error.message, now)
        raise
    shown = {
        "success": True,
        "message": "SMS received and processed",
        "message_id": message_id,
    }
    return rates.add_headers(answers.answer(shown, 201), rate)


@blueprint.post("/api/v1/gateway/sms/status")
@device_required
def sms_status() -> Response:
    """Apply a report about an SMS that the device was handed."""
    now = clock.now()
    rate = _count(REPORTED, this_device().device_id, now)
    payload = _body()
    with services().database.transaction() as session:
        translation.take_status(session, services().settings, this_device(), payload, now)
    return rates.add_headers(answers.answer({"success": True, "message": "Status updated"}), rate)


@blueprint.post("/api/v1/sms/send")
@crm_required
def send() -> Response:
    """Queue an SMS for a CRM."""
    body = _body()
    g.parsed_body = body
    draft = Draft(to=bodies.text(body, "to"), content=bodies.text(body, "message"))

    def act(session: Session, now: datetime) -> Response:
        message = _queue(session, draft, now)
        shown = {"success": True, "message_id": message, "status": "queued"}
        return answers.answer(shown, 202)

    return once(act)


def _queue(session: Session, draft: Draft, now: datetime) -> str:
    try:
        return queueing.queue_one(session, this_crm(), services().settings, draft, now).message.id
    except Invalid as error:
        if error.code in _RECIPIENT_ERRORS:
            raise Invalid(_RECIPIENT_ERRORS[error.code], code=error.code) from None
        if "to" in error.details:
            raise Invalid("Invalid phone number format") from None
        raise


def _make(session: Session, device_id: str, now: datetime) -> tuple[Device, str]:
    try:
        return ownership.add_waiting(session, device_id, None, None, now)
    except Conflict:
        raise BadRequest("Device ID already exists") from None


def _count(limit: Limit, caller: str, now: datetime) -> RateState:
    with services().database.transaction() as session:
        return rate_limits.count(session, limit, caller, now)


def _refuse(rate: RateState) -> Response:
    seconds = rate.retry_after_seconds
    text = f"Too many requests; try again in {seconds} seconds"
    answer = rates.add_headers(answers.error_answer(429, "rate_limited", text), rate)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _error(status: int, _code: str, message: str, _details: dict[str, Any]) -> dict[str, Any]:
    is_exact = key_kinds.is_other_kind(message)
    return {"success": False, "error": message if is_exact else _ERRORS.get(status, message)}


_ERRORS = {401: "Invalid or missing API key", 413: "The request is too large"}


_RECIPIENT_ERRORS = {
    "opted_out": "Recipient has opted out",
    "loop_guard": "Same message sent to this number too often",
}


def _body() -> dict[str, Any]:
    """Return the body's JSON object, whatever its content type is. An empty body is an empty object."""
    body = bodies.read(MAX_BODY_BYTES)
    return bodies.parse_object(body, json_reader.read_tolerantly) if body else {}


def _app_version(info: Any) -> str | None:
    version = info.get("app_version") if isinstance(info, dict) else None
    return storable(version)[:40] if isinstance(version, str) else None
