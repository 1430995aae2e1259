"""Serves `/api/v1/messages`: sending, previewing, reading, cancelling and resending SMS."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Response

from .. import clock
from ..core.accounts import operator_json
from ..core.messages import endings, queueing, reading, resending
from ..core.messages import json as message_json
from ..core.messages import preview as previews
from ..core.messages.drafts import Draft
from ..core.messages.filters import MessageFilters
from ..http.answers import answer
from ..http.context import services
from ..http.guards import (
    crm_or_clerk_required,
    crm_or_operator_required,
    find_crm,
    sender_required,
    this_crm,
)
from ..http.idempotency import is_asked_for, once
from ..store.db import Session
from ..store.models import Message
from ..store.rows import MessageRow
from . import readers
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import messages as examples
from .schemas import message_requests as requests
from .schemas import messages as schemas
from .schemas.previews import Preview

blueprint = DocumentedBlueprint(
    "Messages", "Send SMS, read the messages that you received, and follow the status of each."
)

_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The URL of the message."}}


@blueprint.on("POST", "/messages")
@blueprint.answers(
    200,
    schemas.MessageSchema,
    "The existing message with this `reference`, in its current state.",
    example=examples.DELIVERED,
)
@blueprint.answers(
    202,
    schemas.MessageSchema,
    "The message is queued.",
    example=examples.MESSAGE,
    headers=_LOCATION,
)
@sender_required
@blueprint.takes(requests.DraftSchema, examples=examples.DRAFTS)
def send(body: dict[str, Any]) -> Response:
    """Send an SMS

    Queues one message for a device. The request is safe to repeat at any time if it has a `reference` of your choice,
    or for a day if it has an `Idempotency-Key`.
    """
    draft, crm, settings = _draft(body), this_crm(), services().settings
    if not is_asked_for() and queueing.may_prepare(crm, settings, draft):
        database = services().database
        new = queueing.prepare(database, crm, settings, draft, clock.now())
        database.insert_together(new.batches, new.check)
        return answer(message_json.message(new.message), 202, _url(new.message))

    def act(session: Session, now: datetime) -> Response:
        queued = queueing.queue_one(session, crm, settings, draft, now)
        status = 202 if queued.is_new else 200
        return answer(message_json.message(queued.message), status, _url(queued.message))

    return once(act)


@blueprint.on("POST", "/messages/batch")
@blueprint.answers(
    202,
    schemas.Messages,
    "The queued messages, in the order of the request.",
    example=examples.MESSAGES,
)
@sender_required
@blueprint.takes(requests.BatchSchema, examples={"batch": {"value": examples.BATCH}})
def send_batch(body: dict[str, Any]) -> Response:
    """Send up to 1,000 SMS

    Either all messages are queued or none. Errors are in `details.messages.<row>`, with rows counted from 0. For a
    `reference` that was used before, the existing message is returned in its place; if the body differs, the response
    is a 409 with the rows in `details.rows`.
    """

    def act(session: Session, now: datetime) -> Response:
        drafts = [_draft(item) for item in body["messages"]]
        queued = queueing.queue_all(session, this_crm(), services().settings, drafts, now)
        return answer(_several([one.message for one in queued]), 202)

    return once(act)


@blueprint.on("POST", "/messages/preview")
@blueprint.answers(200, Preview, "The message as it would be sent.", example=examples.PREVIEW)
@crm_or_clerk_required
@blueprint.takes(requests.DraftSchema, examples=examples.DRAFTS)
def preview(body: dict[str, Any]) -> Response:
    """Preview a message

    Returns the segments of the text, the recipient's number as it would be stored, and the devices that may send the
    message. Nothing is stored or sent. A message that could not be sent gets the same error as when sending it.
    """
    with services().database.reading() as session:
        return answer(
            previews.preview(session, this_crm(), services().settings, _draft(body), clock.now())
        )


@blueprint.on("GET", "/messages")
@blueprint.answers(200, schemas.MessagePage, "A page of messages.", example=examples.MESSAGE_PAGE)
@crm_or_operator_required
@blueprint.takes(requests.MessageQuery, location="query")
def list_messages(query: dict[str, Any]) -> Response:
    """List messages

    Returns the messages that you sent and received, newest first. A message has to match all filters. An operator gets
    the messages of all CRMs, or of the CRM given in `crm`, each with its CRM.
    """
    with services().database.reading() as session:
        found, next_cursor = reading.page(
            session,
            readers.crm_ids(readers.wanted_crm(session, query)),
            services().settings,
            _filters(query),
            query.get("cursor"),
            query["limit"],
        )
        shown = _shown(session, found, [message_json.message(message) for message in found])
        return answer({"data": shown, "next_cursor": next_cursor})


@blueprint.on("GET", "/messages/<message_id>")
@blueprint.answers(
    200,
    schemas.WholeMessage,
    "The message, its history and the next step that it waits for.",
    example=examples.WHOLE_MESSAGE,
)
@blueprint.fails(404)
@crm_or_operator_required
def show(message_id: str) -> Response:
    """Get a message

    Includes its history, its dispatches to devices and, until it is finished, the next step that it waits for.
    """
    with services().database.reading() as session:
        message = reading.get(session, readers.crm_ids(find_crm()), message_id)
        whole = reading.whole_shape(session, message, services().settings, clock.now())
        return answer(_shown(session, [message], [whole])[0])


@blueprint.on("DELETE", "/messages/<message_id>")
@blueprint.answers(200, schemas.MessageSchema, "The cancelled message.", example=examples.CANCELLED)
@blueprint.fails(404, 409)
@crm_or_clerk_required
def cancel(message_id: str) -> Response:
    """Cancel a message

    Only `queued` messages can be cancelled; once a phone has the message, the response is a 409.
    """
    with services().database.transaction() as session:
        message = queueing.get(session, this_crm(), message_id)
        endings.cancel(session, message, clock.now())
        return answer(message_json.message(message))


@blueprint.on("POST", "/messages/<message_id>/resend")
@blueprint.answers(
    202, schemas.MessageSchema, "The message is queued again.", example=examples.MESSAGE
)
@blueprint.fails(404)
@crm_or_clerk_required
@blueprint.takes(requests.Resend, examples={"duplicate": {"value": examples.RESEND}})
def resend(body: dict[str, Any], message_id: str) -> Response:
    """Resend a message

    Queues a message again that failed, expired or is stuck. If the phone may have sent it already, the response is a
    409 `may_duplicate` unless the body is `{"may_duplicate": true}`.
    """
    act_on = resending.queue_anyway if body["may_duplicate"] else resending.queue

    def act(session: Session, now: datetime) -> Response:
        message = queueing.get(session, this_crm(), message_id)
        act_on(session, message, services().settings, now)
        return answer(message_json.message(message), 202, _url(message))

    return once(act)


def _shown(
    session: Session, found: Sequence[Message | MessageRow], shown: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    return shown if find_crm() else operator_json.of_messages(session, found, shown)


def _several(found: Sequence[Message | MessageRow]) -> dict[str, Any]:
    return {"data": [message_json.message(message) for message in found]}


def _url(message: Message | MessageRow) -> str:
    return f"/api/v1/messages/{message.id}"


def _draft(body: dict[str, Any]) -> Draft:
    priority = body.get("priority")
    return Draft(
        to=body["to"],
        content=body["content"],
        device_id=body.get("device_id"),
        reference=body.get("reference"),
        send_at=body.get("send_at"),
        expires_at=body.get("expires_at"),
        ttl_seconds=body.get("ttl"),
        priority=Draft.priority if priority is None else priority,
        metadata=body.get("metadata"),
    )


def _filters(query: dict[str, Any]) -> MessageFilters:
    return MessageFilters(
        direction=query.get("direction"),
        status=query.get("status"),
        device_id=query.get("device_id"),
        from_number=query.get("from_"),
        to_number=query.get("to"),
        reference=query.get("reference"),
        q=query.get("q"),
        since=query.get("since"),
        until=query.get("until"),
    )
