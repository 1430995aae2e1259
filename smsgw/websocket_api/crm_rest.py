"""Serves CRMs over the REST half of the CRM WebSocket API, and opens their sockets."""

from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request

from .. import clock, ids
from ..core.accounts import crms, routes
from ..core.devices import pairing, registry, routing
from ..core.events import feed
from ..core.messages import phone_ids, queueing
from ..core.messages import reading as stored_messages
from ..core.messages.drafts import Draft
from ..core.webhooks import endpoints, urls
from ..errors import Forbidden, Invalid, NotFound
from ..http import bodies, credentials
from ..http.answers import answer
from ..http.context import services
from ..http.guards import crm_required, operator_required, public, this_crm
from ..http.idempotency import once
from ..live import upgrade
from ..store.db import Session
from ..store.models import Message
from ..store.rows import AnyCrm, MessageRow
from . import crm_socket, frames, keys, translation

blueprint = Blueprint("crm_sockets", __name__)


@blueprint.post("/registerCRM")
@public
def register_crm() -> Response:
    """Make a CRM without devices, and a webhook endpoint for its `callbackUrl`."""
    now = clock.now()
    is_operator = keys.is_operator(credentials.bearer())
    if not is_operator:
        keys.check_open(pairing.CRMS, now)
    body = keys.json_body()
    name, callback = bodies.text(body, "crmName"), bodies.optional_text(body, "callbackUrl")
    url = None if callback is None else _checked(callback)
    with services().database.transaction() as session:
        if is_operator:
            crm, key = crms.add(session, name, [], now)
        else:
            crm, key = crms.add_unapproved(session, name, now)
        secret = None if url is None else _add_webhook(session, crm, url, now)
        shown = {
            "crmId": crm.id,
            "crmName": crm.name,
            "callbackUrl": callback,
            "apiKey": key,
            "webhookSecret": secret,
            "webSocketUrl": keys.web_socket_url(services().settings, f"apiKey={key}"),
        }
    return answer(shown, 201)


@blueprint.post("/sendMessage")
@public
def send_message() -> Response:
    """Queue an SMS; the key is in the body or in the header."""
    header = credentials.bearer()
    crm = keys.crm_of(header) if header else None
    body = keys.json_body()
    key = body.get("apiKey")
    if crm is None or (isinstance(key, str) and key != header):
        crm = keys.crm_of(key if isinstance(key, str) else "")
    draft = Draft(
        to=bodies.text(body, "receiver"),
        content=bodies.text(body, "content"),
        device_id=bodies.text(body, "deviceId"),
    )

    def act(session: Session, now: datetime) -> Response:
        _check_device(session, crm, str(draft.device_id))
        message = _take(session, crm, draft, now)
        shown = {"messageId": message.id, "deviceId": draft.device_id, "status": "QUEUED"}
        return answer(shown, 202)

    return once(act)


@blueprint.get("/messages/<message_id>")
@crm_required
def show_message(message_id: str) -> Response:
    """Return the status of a message, found by our id, or by the id that the device gave an incoming message."""
    with services().database.reading() as session:
        return answer(_shape(_find_message(session, this_crm(), message_id)))


@blueprint.put("/devices/<device_id>/crms/<crm_id>")
@operator_required
def map_device(device_id: str, crm_id: str) -> Response:
    """Map a device to a CRM."""
    with services().database.transaction() as session:
        crm, device = crms.get(session, crm_id), registry.get(session, device_id)
        crms.approve(crm)
        routes.put(session, crm, device)
    return Response(status=204)


@blueprint.delete("/devices/<device_id>/crms/<crm_id>")
@operator_required
def unmap_device(device_id: str, crm_id: str) -> Response:
    """Unmap a device from a CRM, and cancel what the CRM has queued for it."""
    with services().database.transaction() as session:
        crm, device = crms.get(session, crm_id), registry.get(session, device_id)
        routes.remove(session, crm, device, clock.now())
    return Response(status=204)


def open_socket(key: str) -> Response | None:
    """Open a socket of the CRM that owns this key; `None` for other keys.

    With `after=<event id>` it begins with what happened after that event, otherwise with what happens from now on.
    """
    crm = keys.find_crm(key)
    if crm is None:
        return None
    after = request.args.get("after")
    with services().database.reading() as session:
        if after:
            _check_position(session, crm.id, after)
        position = after or feed.last_shown(session, crm.id)
    conversation = crm_socket.CrmConversation(
        services().settings, services().database, crm.id, key, position
    )
    return upgrade.accept(conversation, [frames.SUBPROTOCOL])


def _check_position(session: Session, crm_id: str, after: str) -> None:
    """Raise `NotFound` for a position that is no event, with advice: without a position the past is left out."""
    try:
        feed.page(session, crm_id, after, 1)
    except NotFound:
        raise NotFound(
            f"no event {after[:80]!r}: connect with after={ids.FIRST_EVENT_ID} to get everything from the oldest "
            "event on; without 'after' you get only what happens from now on"
        ) from None


def _checked(url: str) -> urls.Checked:
    try:
        return urls.checked_callback(url, services().settings.webhook_allowed_networks)
    except Invalid as error:
        raise frames.reworded(error) from None


def _add_webhook(session: Session, crm: AnyCrm, url: urls.Checked, now: datetime) -> str:
    _, secret = endpoints.add(session, crm, url, most=services().settings.webhooks_per_crm, now=now)
    return secret


def _check_device(session: Session, crm: AnyCrm, device_id: str) -> None:
    registry.get(session, device_id)
    if not routing.may_use(session, crm, device_id):
        text = f"the device {device_id!r} is not mapped to this CRM"
        raise Forbidden(text, code="device_not_mapped")


def _take(session: Session, crm: AnyCrm, draft: Draft, now: datetime) -> MessageRow:
    try:
        return queueing.queue_one(session, crm, services().settings, draft, now).message
    except Invalid as error:
        raise frames.reworded(error) from None


def _find_message(session: Session, crm: AnyCrm, message_id: str) -> Message:
    try:
        return stored_messages.get(session, [crm.id], message_id)
    except NotFound:
        found = phone_ids.find_message(session, crm, message_id)
        if found is None:
            raise
        return found


def _shape(message: Message | MessageRow) -> dict[str, Any]:
    is_inbound = message.direction == "inbound"
    shown = {
        "messageId": phone_ids.phone_id(message) if is_inbound else message.id,
        "deviceId": message.device_id,
        "direction": message.direction,
        "status": translation.STATUS[message.status],
        "timestamp": frames.moment(message.updated_at),
        "sender": message.from_number,
        "receiver": message.to_number,
        "content": message.content,
    }
    error = translation.error_text(message.status, message.reason, message.stuck_at is not None)
    return shown if error is None else {**shown, "error": error}
