"""Serves `/admin/bulk/<id>`: the progress of messages that were queued together; pausing and cancelling the rest."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from flask import flash, redirect, request, url_for

from .. import clock
from ..core.accounts.roles import CLERK
from ..core.messages import bulks, pace, pausing
from ..core.messages import json as message_json
from ..core.messages.ahead import Ahead
from ..core.messages.pace import SendingDevice
from ..http.context import services
from ..sms import statuses
from ..store.db import Session
from ..store.models import Bulk
from . import finding_links, message_files, message_shapes, rendering, visitors
from .blueprint import blueprint
from .guards import allows

finding_links.add(
    "bulk", "Look at it", lambda bulk_id: url_for("dashboard.bulk_progress", bulk_id=bulk_id), CLERK
)

PAGE_SIZE = 50
_READ_AT_ONCE = 500


@blueprint.get("/bulk/<bulk_id>")
@allows(CLERK)
def bulk_progress(bulk_id: str) -> Any:
    """Show the messages with their statuses, and when they will be done."""
    with services().database.reading() as session:
        bulk = _get(session, bulk_id)
        shown = _shown(session, bulk, bulks.progress(session, bulk))
    return rendering.render("bulk_progress.html", title="Progress", **shown)


@blueprint.get("/bulk/<bulk_id>/news")
@allows(CLERK)
def bulk_news(bulk_id: str) -> Any:
    """Show the progress again if any status has changed."""
    with services().database.reading() as session:
        bulk = _get(session, bulk_id)
        found = bulks.progress(session, bulk)
        if request.args.get("seen") == _position(bulk, found):
            return rendering.nothing_new()
        shown = _shown(session, bulk, found)
    return rendering.fragment("_bulk_progress.html", **shown)


@blueprint.get("/bulk/<bulk_id>/result.csv")
@allows(CLERK)
def bulk_result(bulk_id: str) -> Any:
    """Download the messages with their statuses, in the order of the rows."""
    with services().database.reading() as session:
        _get(session, bulk_id)
    return message_files.response(_shapes(bulk_id))


@blueprint.post("/bulk/<bulk_id>/cancel")
@allows(CLERK)
def cancel_bulk(bulk_id: str) -> Any:
    """Cancel the messages that no phone has, some hundred at a time."""
    database, count = services().database, 0
    with database.transaction() as session:
        bulks.end(session, _get(session, bulk_id).id, clock.now())
    while True:
        with database.transaction() as session:
            step = bulks.cancel_step(session, bulk_id, clock.now())
        count += step
        if not step:
            break
    flash(f"{count:,} {'message was' if count == 1 else 'messages were'} cancelled.")
    return redirect(url_for("dashboard.bulk_progress", bulk_id=bulk_id), 303)


@blueprint.post("/bulk/<bulk_id>/pause")
@allows(CLERK)
def pause_bulk(bulk_id: str) -> Any:
    """Pause the bulk, some hundred messages at a time."""
    with services().database.transaction() as session:
        person = visitors.person().name
        has_paused = pausing.pause(session, _get(session, bulk_id), person, clock.now())
    _move(bulk_id)
    flash("Paused." if has_paused else "It was paused already.")
    return redirect(url_for("dashboard.bulk_progress", bulk_id=bulk_id), 303)


@blueprint.post("/bulk/<bulk_id>/resume")
@allows(CLERK)
def resume_bulk(bulk_id: str) -> Any:
    """Resume the bulk."""
    with services().database.transaction() as session:
        has_resumed = pausing.resume(session, _get(session, bulk_id))
    _move(bulk_id)
    flash("Resumed." if has_resumed else "It was not paused any more.")
    return redirect(url_for("dashboard.bulk_progress", bulk_id=bulk_id), 303)


def _move(bulk_id: str) -> None:
    has_more = True
    while has_more:
        with services().database.transaction() as session:
            has_more = pausing.move(session, bulk_id, clock.now())


def _get(session: Session, bulk_id: str) -> Bulk:
    return bulks.get(session, visitors.access(session).crms, bulk_id)


def _shapes(bulk_id: str) -> Iterator[dict[str, Any]]:
    from_row: int | None = 0
    while from_row is not None:
        with services().database.reading() as session:
            rows = bulks.messages(session, _get(session, bulk_id), from_row, _READ_AT_ONCE)
            shapes = [message_json.message(message) for _, message in rows]
        yield from shapes
        from_row = rows[-1][0] + 1 if rows else None


def _shown(session: Session, bulk: Bulk, found: bulks.Progress) -> dict[str, Any]:
    settings, now, from_row = services().settings, clock.now(), _from_row()
    rows = bulks.messages(session, bulk, from_row, PAGE_SIZE + 1)
    page = [message for _, message in rows[:PAGE_SIZE]]
    crm = bulks.crm_of(session, bulk)
    sending = pace.devices(session, crm, settings, None, now)
    others = pace.find_ahead(session, sending, bulk.created_at)
    return {
        "bulk": bulk,
        "crm": crm,
        "counts": {name: found.counts[name] for name in statuses.OUTBOUND if found.counts[name]},
        "ended": found.counts.total() - found.unfinished,
        "waiting_count": found.counts[statuses.QUEUED],
        "is_final": found.unfinished == 0 and _is_queued_whole(bulk),
        "is_queued_whole": _is_queued_whole(bulk),
        "devices": sending,
        "done_at": _done_at(sending, found, others, now),
        "others": others,
        "messages": [{**message_shapes.of(message), "crm": crm.name} for message in page],
        "from_row": from_row,
        "next_row": rows[PAGE_SIZE][0] if len(rows) > PAGE_SIZE else None,
        "position": _position(bulk, found),
    }


def _done_at(
    sending: Sequence[SendingDevice], found: bulks.Progress, others: Ahead, now: datetime
) -> datetime | None:
    at = pace.all_done_at(sending, found.waiting_segments, others, now)
    return None if at is None else max(at, found.last_due_at or at)


def _is_queued_whole(bulk: Bulk) -> bool:
    return bulk.done_count == bulk.row_count or bulk.cancelled_at is not None


def _position(bulk: Bulk, found: bulks.Progress) -> str:
    facts = (bulk.done_count, bulk.cancelled_at, bulk.paused_at, sorted(found.counts.items()))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _from_row() -> int:
    text = request.args.get("from", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
