"""Serves `/admin/messages`: searching messages, and cancelling or resending those that are ticked."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flask import Response, flash, redirect, request, url_for

from .. import clock
from ..core.accounts import operator_json
from ..core.accounts.roles import CLERK, VIEWER
from ..core.messages import browsing, endings, reading, resending
from ..core.messages.browsing import StatusCounts
from ..errors import GatewayError, Invalid
from ..http.context import services
from ..sms import statuses
from ..store.db import Session
from ..store.models import Message
from . import (
    finding_links,
    forms,
    message_files,
    message_search,
    message_shapes,
    navigation,
    rendering,
    visitors,
)
from .blueprint import blueprint
from .guards import allows

navigation.add("Messages", "messages", role=VIEWER, icon="message-square", order=30)
finding_links.add(
    "stuck messages", "Look at them", lambda _: url_for("dashboard.messages", stuck="yes")
)
finding_links.add(
    "queue", "Look at what waits", lambda _: url_for("dashboard.messages", status=statuses.QUEUED)
)

PAGE_SIZE = 50
_STATUS_ORDER = (*statuses.OUTBOUND, *statuses.INBOUND)


class Ticked(NamedTuple):
    """The messages that were ticked: those to act on, those that may arrive twice then, and the rest."""

    safe: list[Message]
    doubtful: list[Message]
    unfit: list[Message]


@blueprint.get("/messages")
@allows(VIEWER)
def messages() -> Any:
    """Show the messages that match the search, newest first."""
    settings, cursor = services().settings, request.args.get("cursor") or None
    with services().database.reading() as session:
        search = message_search.read(session)
        page = browsing.page(session, search.crm_ids, settings, search.filters, cursor, PAGE_SIZE)
        shapes = [message_shapes.of(message) for message in page.messages]
        shown = operator_json.of_messages(session, page.messages, shapes, search.crm_ids)
        counts = _counts(session, search) if cursor is None else None
        crm_names = message_search.crm_names(session)
    typed = message_search.typed()
    return rendering.render(
        "messages.html",
        title="Messages",
        messages=shown,
        page=page,
        counts=counts,
        statuses=_STATUS_ORDER,
        typed=typed,
        without_status={name: value for name, value in typed.items() if name != "status"},
        cursor=cursor,
        crm_names=crm_names,
        counted_at_once=browsing.COUNTED_AT_ONCE,
        most_exported=message_files.MOST_ROWS,
    )


@blueprint.get("/messages/news")
@allows(VIEWER)
def message_news() -> Response:
    """Show a note if there are newer messages than the newest on the page."""
    with services().database.reading() as session:
        crm_ids = visitors.access(session).crms
        newest = browsing.newest_id(session, crm_ids, services().settings)
    if newest is None or newest <= request.args.get("seen", ""):
        return rendering.nothing_new()
    return rendering.fragment("_message_news.html")


@blueprint.get("/messages.csv")
@allows(VIEWER)
def export_messages() -> Response:
    """Download the messages that match the search as a table."""
    with services().database.reading() as session:
        search = message_search.read(session)
    return message_files.csv_response(search)


@blueprint.post("/messages/review")
@allows(CLERK)
def review_messages() -> Any:
    """Show what will happen to the ticked messages."""
    what, ids = forms.text("do"), _ids()
    with services().database.reading() as session:
        crm_ids = visitors.access(session).crms
        found = reading.find(session, crm_ids, ids)
        ticked = _cancellable(found) if what == "cancel" else _resendable(found)
        shapes = [message_shapes.of(message) for message in (*ticked.safe, *ticked.doubtful)]
    return rendering.render(
        "messages_review.html",
        title="Cancel messages" if what == "cancel" else "Resend messages",
        what=what,
        ticked=ticked,
        messages=shapes,
        back=forms.local_path(forms.text(forms.PAGE)) or url_for("dashboard.messages"),
    )


@blueprint.post("/messages/cancel")
@allows(CLERK)
def cancel_messages() -> Any:
    """Cancel the messages that no phone has yet."""
    return _act_on_each(
        statuses.CANCELLED, lambda session, message: endings.cancel(session, message, clock.now())
    )


@blueprint.post("/messages/resend")
@allows(CLERK, confirmed=True)
def resend_messages() -> Any:
    """Queue the messages again; those that may arrive twice only if that is ticked."""
    is_twice_fine = forms.text("may_duplicate") == "yes"
    queue = resending.queue_anyway if is_twice_fine else resending.queue
    settings = services().settings
    return _act_on_each(
        "queued again", lambda session, message: queue(session, message, settings, clock.now())
    )


def _counts(session: Session, search: message_search.MessageSearch) -> StatusCounts | None:
    """Return the number of messages with each status; `None` for a text search, which is too slow to count."""
    if search.filters.q is not None:
        return None
    return browsing.counts(session, search.crm_ids, services().settings, search.filters)


def _ids() -> list[str]:
    ids = list(dict.fromkeys(forms.texts("ids")))
    if not ids:
        raise Invalid("Tick the messages first.")
    if len(ids) > PAGE_SIZE:
        raise Invalid(f"Tick at most {PAGE_SIZE} messages at once.")
    return ids


def _cancellable(found: Sequence[Message]) -> Ticked:
    safe = [message for message in found if message.status == statuses.QUEUED]
    return Ticked(safe, [], [message for message in found if message not in safe])


def _resendable(found: Sequence[Message]) -> Ticked:
    fit = [message for message in found if resending.is_resendable(message)]
    doubtful = [message for message in fit if resending.may_arrive_twice(message)]
    safe = [message for message in fit if message not in doubtful]
    return Ticked(safe, doubtful, [message for message in found if message not in fit])


def _act_on_each(done: str, act: Callable[[Session, Message], None]) -> Any:
    """Act on each message in a separate transaction, so that a refused one does not stop the others."""
    count, refusals = 0, []
    for message_id in _ids():
        try:
            with services().database.transaction() as session:
                crm_ids = visitors.access(session).crms
                act(session, browsing.lock(session, crm_ids, message_id))
            count += 1
        except GatewayError as error:
            refusals.append(error.message)
    if count:
        flash(f"{count} {'message was' if count == 1 else 'messages were'} {done}.")
    if refusals:
        flash(f"{len(refusals)} not {done}: {'; '.join(dict.fromkeys(refusals))}.", "warning")
    back = forms.local_path(forms.text("back")) or url_for("dashboard.messages")
    return redirect(back, 303)
