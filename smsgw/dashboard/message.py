"""Serves `/admin/messages/<id>`: the steps of one message, what it waits for, and its webhooks."""

from typing import Any

from flask import Response, flash, redirect, request, url_for

from .. import clock
from ..core.accounts import operator_json
from ..core.accounts.roles import CLERK, VIEWER
from ..core.messages import browsing, endings, reading, resending
from ..core.messages import conversations as talks
from ..core.webhooks import deliveries
from ..http.context import services
from ..sms import statuses
from ..store.db import Session
from ..store.models import Message
from . import conversations, forms, message_shapes, rendering, visitors
from .blueprint import blueprint
from .guards import allows

# The titles of a message's steps, in their order.
_STEPS = (
    (statuses.QUEUED, "Queued"),
    (statuses.DISPATCHED, "Handed to the phone"),
    (statuses.ACCEPTED, "On the phone"),
    (statuses.SENDING, "Given to the radio"),
    (statuses.SENT, "Taken by the network"),
    (statuses.DELIVERED, "Delivered"),
)
_WORDS = {
    **dict(_STEPS),
    statuses.FAILED: "Failed",
    statuses.EXPIRED: "Expired",
    statuses.CANCELLED: "Cancelled",
    statuses.RECEIVED: "Received",
}
_STATES = {
    statuses.DELIVERED: "ok",
    statuses.SENT: "ok",
    statuses.RECEIVED: "ok",
    statuses.FAILED: "wrong",
    statuses.EXPIRED: "wrong",
    statuses.CANCELLED: "warning",
}


@blueprint.get("/messages/<message_id>")
@allows(VIEWER)
def message(message_id: str) -> Any:
    """Show one message."""
    with services().database.reading() as session:
        found = _get(session, message_id)
        values = _shown(session, found)
    return rendering.render("message.html", title=_title(found), state=_state(found), **values)


@blueprint.get("/messages/<message_id>/news")
@allows(VIEWER)
def one_message_news(message_id: str) -> Response:
    """Show the steps of the message again, if it has changed."""
    with services().database.reading() as session:
        found = _get(session, message_id)
        if _position(found) == request.args.get("seen"):
            return rendering.nothing_new()
        return rendering.fragment("_message.html", **_shown(session, found))


@blueprint.post("/message/cancel")
@allows(CLERK)
def cancel_message() -> Any:
    """Cancel a message that no phone has yet."""
    with services().database.transaction() as session:
        endings.cancel(session, _lock(session), clock.now())
    flash("The message was cancelled.")
    return _back()


@blueprint.post("/message/resend")
@allows(CLERK)
def resend_message() -> Any:
    """Queue a message again; one that may arrive twice only if the form confirms that."""
    is_twice_fine = forms.text("may_duplicate") == "yes"
    queue = resending.queue_anyway if is_twice_fine else resending.queue
    with services().database.transaction() as session:
        queue(session, _lock(session), services().settings, clock.now())
    flash("The message is queued again.")
    return _back()


def _get(session: Session, message_id: str) -> Message:
    return reading.get(session, visitors.access(session).crms, message_id)


def _lock(session: Session) -> Message:
    return browsing.lock(session, visitors.access(session).crms, forms.text("id"))


def _back() -> Any:
    return redirect(url_for("dashboard.message", message_id=forms.text("id")), 303)


def _shown(session: Session, found: Message) -> dict[str, Any]:
    now, crm_ids = clock.now(), visitors.access(session).crms
    shape, advice = reading.explained(session, found, services().settings, now)
    whole = {**message_shapes.of(found), **shape}
    (shown,) = operator_json.of_messages(session, [found], [whole], crm_ids)
    return {
        "message": shown,
        "position": _position(found),
        "steps": _steps(whole),
        "words": _WORDS,
        "advice": advice,
        "states": _STATES,
        "deliveries": deliveries.of_message(session, found.id, crm_ids),
        "is_cancellable": found.status == statuses.QUEUED,
        "is_resendable": resending.is_resendable(found),
        "may_arrive_twice": resending.may_arrive_twice(found),
        "conversation": _conversation_key(found),
        "is_final": found.status not in (*statuses.UNFINISHED, statuses.SENT),
    }


def _conversation_key(found: Message) -> str | None:
    number = talks.number_of(found)
    return None if number is None else conversations.key_of(number, found.id)


def _position(found: Message) -> str:
    return clock.rfc3339(found.updated_at)


def _steps(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the steps of an outbound message, each with the time when it was last reached."""
    if whole["direction"] != "outbound":
        return []
    # A resent message begins anew.
    begins = [
        place for place, entry in enumerate(whole["history"]) if entry["status"] == statuses.QUEUED
    ]
    entries = whole["history"][begins[-1] :] if begins else whole["history"]
    reached = {entry["status"]: entry for entry in entries}
    return [{"text": text, **reached.get(status, {"at": None})} for status, text in _STEPS]


def _title(found: Message) -> str:
    return "Received SMS" if found.direction == "inbound" else "SMS"


def _state(found: Message) -> str | None:
    return "warning" if found.stuck_at is not None else _STATES.get(found.status)
