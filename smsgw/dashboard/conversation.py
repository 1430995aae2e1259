"""Serves `/admin/conversations/<number>`: the messages from and to one number, and answering."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from flask import Response, flash, redirect, request, url_for

from .. import clock, ids
from ..core.accounts import crms, operator_json
from ..core.accounts.roles import CLERK, VIEWER
from ..core.messages import conversations, opt_outs, queueing, read_marks
from ..core.messages.conversations import MessagesPage
from ..core.messages.drafts import Draft
from ..errors import NotFound
from ..http.context import services
from ..sms import numbers
from ..store.db import Session
from ..store.models import Crm, Message
from . import conversations as conversation_list
from . import forms, message_shapes, rendering, send_form, visitors
from .blueprint import blueprint
from .guards import allows

PAGE_SIZE = 50


class _OpenConversation(NamedTuple):
    """A number, its key in the URL, and a page of the messages from and to it."""

    number: str
    key: str
    page: MessagesPage
    crm_ids: Collection[str] | None


@blueprint.get("/conversations/<key>")
@allows(VIEWER)
def conversation(key: str) -> Any:
    """Show one conversation; it is marked as read if the person may answer."""
    cursor = request.args.get("cursor") or None
    with services().database.reading() as session:
        found = _read(session, key, cursor)
        values = _shown(session, found)
        values |= _reply_values(session, found, values["messages"])
    if cursor is None:
        _mark_read(found.page)
    return rendering.render("conversation.html", title="Conversation", cursor=cursor, **values)


@blueprint.get("/conversations/<key>/news")
@allows(VIEWER)
def conversation_news(key: str) -> Response:
    """Show the newest messages again, if there are new ones or one has changed."""
    with services().database.reading() as session:
        found = _read(session, key, None)
        if _position(found.page.messages) == request.args.get("seen"):
            return rendering.nothing_new()
        values = _shown(session, found)
    _mark_read(found.page)
    return rendering.fragment("_conversation.html", cursor=None, **values)


@blueprint.post("/conversation/reply")
@allows(CLERK)
def reply() -> Any:
    """Queue an answer; the same text from the same page is queued once, however often the form is sent."""
    content, settings, now = forms.lines("content"), services().settings, clock.now()
    with services().database.transaction() as session:
        found = _read(session, forms.text("key"), None)
        crm = send_form.find_crm(session, forms.text("crm"))
        draft = Draft(
            to=found.number,
            content=content,
            device_id=conversations.reply_device(session, crm, settings, found.page.messages, now),
            reference=_reference(content),
        )
        queueing.queue_one(session, crm, settings, draft, now)
    flash("The answer is queued.")
    return redirect(url_for("dashboard.conversation", key=forms.text("key")), 303)


def _read(session: Session, key: str, cursor: str | None) -> _OpenConversation:
    number = conversation_list.read_key(session, key)
    crm_ids = visitors.access(session).crms
    page = conversations.messages(session, crm_ids, number, cursor, PAGE_SIZE)
    if not page.messages and not numbers.is_dialable(number):
        raise NotFound("There is no such conversation.")
    return _OpenConversation(number, key, page, crm_ids)


def _shown(session: Session, found: _OpenConversation) -> dict[str, Any]:
    messages = found.page.messages
    plain = [message_shapes.of(message) for message in messages]
    return {
        "key": found.key,
        "number": found.number,
        "messages": operator_json.of_messages(session, messages, plain, found.crm_ids),
        "unread_ids": {one.message_id for one in found.page.unread},
        "next_cursor": found.page.next_cursor,
        "position": _position(messages),
    }


def _reply_values(
    session: Session, found: _OpenConversation, messages: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the values for the answer's form: the CRMs that may answer, and whether the number has opted out."""
    senders = [crm for crm in crms.everyone(session) if crm.enabled and _is_in(crm, found.crm_ids)]
    return {
        "is_name": not numbers.is_dialable(found.number),
        "crm_names": [crm.name for crm in senders],
        "last_crm": _last_crm(messages),
        "opted_out": opt_outs.of_number(session, found.crm_ids, found.number),
        "form_id": ids.new_message_id(),
    }


def _is_in(crm: Crm, crm_ids: Collection[str] | None) -> bool:
    return crm_ids is None or crm.id in crm_ids


def _last_crm(messages: Sequence[dict[str, Any]]) -> str | None:
    """Return the name of the CRM that wrote last, or else of the only one that received the newest message.

    `None` if several received it and none has written: then a person chooses.
    """
    written = [message["crm"] for message in messages if message["crm"]]
    received_by = messages[0].get("received_by", []) if messages else []
    names = written or [one["crm"] for one in received_by if len(received_by) == 1]
    return names[0] if names else None


def _reference(content: str) -> str:
    """Return a reference that is equal when the same page sends the same text again."""
    whole = "\n".join((forms.text("form_id"), forms.text("crm"), content))
    return f"reply-{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _mark_read(page: MessagesPage) -> None:
    if page.unread and visitors.is_allowed(CLERK):
        with services().database.transaction() as session:
            read_marks.mark(session, page.unread, clock.now())


def _position(messages: Sequence[Message]) -> str:
    """Return a value that changes with each newer message, and with each change of these."""
    if not messages:
        return "none"
    newest_change = max(message.updated_at for message in messages)
    return f"{messages[0].id}.{clock.rfc3339(newest_change)}"
