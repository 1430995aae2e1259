"""Serves `/admin/conversations`: the conversations, newest first, with their unread messages."""

from collections.abc import Iterable
from typing import Any

from flask import Response, redirect, request, url_for

from .. import clock
from ..core.accounts import operator_json
from ..core.accounts.roles import CLERK, VIEWER
from ..core.messages import browsing, conversations, read_marks, reading
from ..core.messages.newest import CrmIds
from ..errors import NotFound
from ..http.context import services
from ..sms import numbers
from ..store.db import Session
from . import message_search, message_shapes, navigation, rendering, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("Conversations", "conversations_list", role=VIEWER, icon="messages-square", order=40)

PAGE_SIZE = 50


@blueprint.get("/conversations")
@allows(VIEWER)
def conversations_list() -> Any:
    """Show the conversations, or go to that of the number that was typed."""
    typed = message_search.number_of_query()
    with services().database.reading() as session:
        key = None if typed is None else _find(session, typed)
        shown = _shown(session, request.args.get("cursor") or None) if key is None else {}
    if key is not None:
        return redirect(url_for("dashboard.conversation", key=key), 303)
    return rendering.render(
        "conversations.html",
        title="Conversations",
        typed=typed,
        searched_at_once=browsing.SEARCHED_AT_ONCE,
        **shown,
    )


@blueprint.get("/conversations/news")
@allows(VIEWER)
def conversations_news() -> Response:
    """Show the list again if there are newer messages, or somebody has read one."""
    with services().database.reading() as session:
        if _position(session, visitors.access(session).crms) == request.args.get("seen"):
            return rendering.nothing_new()
        return rendering.fragment("_conversations.html", **_shown(session, None))


def key_of(number: str, newest_id: str) -> str:
    """Return the key of a number in the URL: for viewers, and for names, the id of a message with it."""
    is_plain = numbers.is_dialable(number) and visitors.is_allowed(CLERK)
    return number if is_plain else newest_id


def read_key(session: Session, key: str) -> str:
    """Return the number or name of a key. Raises `NotFound` if there is none."""
    if key.startswith("msg_"):
        found = reading.get(session, visitors.access(session).crms, key)
        number = conversations.number_of(found)
        if not number:
            raise NotFound("The retention time has removed the number of this conversation.")
        return number
    return numbers.normalise_sender(key, services().settings.default_region)


def _find(session: Session, typed: str) -> str | None:
    """Return the key of the conversation with the typed number or name; `None` if there is none."""
    crm_ids, region = visitors.access(session).crms, services().settings.default_region
    for spelling in _spellings(typed):
        number = numbers.normalise_sender(spelling, region)
        page = conversations.messages(session, crm_ids, number, None, 1)
        if page.messages:
            return key_of(number, page.messages[0].id)
    return None


def _spellings(typed: str) -> Iterable[str]:
    """Return the likely spellings: a number with its `+`, a name in capitals or small letters."""
    if numbers.is_dialable(typed):
        return (typed, f"+{typed}")
    return dict.fromkeys((typed, typed.capitalize(), typed.upper(), typed.title(), typed.lower()))


def _position(session: Session, crm_ids: CrmIds) -> str:
    newest_id = browsing.newest_id(session, crm_ids, services().settings)
    marked_at = clock.rfc3339_or_none(read_marks.newest(session))
    return f"{newest_id}.{marked_at}"


def _shown(session: Session, cursor: str | None) -> dict[str, Any]:
    crm_ids = visitors.access(session).crms
    page = conversations.page(session, crm_ids, cursor, PAGE_SIZE)
    newest = [one.newest for one in page.conversations]
    plain = [message_shapes.of(message) for message in newest]
    shapes = operator_json.of_messages(session, newest, plain, crm_ids)
    rows = [
        {
            "key": key_of(one.number, one.newest.id),
            "number": one.number,
            "unread_count": one.unread_count,
            "message": shape,
        }
        for one, shape in zip(page.conversations, shapes, strict=True)
    ]
    position = "" if cursor else _position(session, crm_ids)
    return {"rows": rows, "page": page, "cursor": cursor, "position": position}
