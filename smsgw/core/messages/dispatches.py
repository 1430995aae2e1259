"""Reads the dispatches of messages, and decides which of them gives the message its status."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from ...sms import statuses
from ...store.arrays import is_any_found, is_any_of
from ...store.json_rows import JsonRows
from ...store.models import Crm, Dispatch, HistoryEntry, Message
from ...store.queries import Query
from ...store.rows import DISPATCH_COLUMNS, DispatchRow, MessageRow
from .history import ANNOUNCED_COLUMNS, AnnouncedMessage, HistoryWriter

_ANNOUNCED = (statuses.ACCEPTED, statuses.SENT, statuses.DELIVERED, statuses.FAILED)
_NOT_NEEDED = (
    "the message was sent by an earlier dispatch; the phone may send this one all the same"
)
_OLDEST_FIRST = (Dispatch.handed_out_at, Dispatch.id)


@dataclass(slots=True)
class ReportedMessage(AnnouncedMessage):
    """A message with reports about it. `is_sticky`: its CRM keeps a number with the device it last talked with."""

    is_sticky: bool = False


@dataclass(slots=True)
class ReportedDispatch(DispatchRow):
    """A dispatch with all that was reported of it so far, in its order: the phone's words and their reasons."""

    reports: list[tuple[str, str | None]] | None = None


# Not limited to the device: SQLite would then walk through all it ever had, by their index, and not go by their ids.
def _reported_messages(dialect: Dialect) -> sa.Select[Any]:
    """Return the statement that locks the messages of reported dispatches."""
    dispatched = sa.select(Dispatch.message_id).where(
        is_any_of(Dispatch.id, "dispatch_ids", dialect)
    )
    return (
        sa.select(
            *ANNOUNCED_COLUMNS,
            sa.select(Crm.sticky_sender)
            .where(Crm.id == Message.crm_id)
            .scalar_subquery()
            .label("is_sticky"),
        )
        .where(is_any_found(Message.id, dispatched, dialect))
        .order_by(Message.id)
        .with_for_update()
    )


_LOCK_MESSAGES = Query(ReportedMessage, _reported_messages)

_SAID = (
    sa.select(HistoryEntry.reported, HistoryEntry.reason)
    # By the message, whose history has an index: one of dispatches would be written to with each report.
    .where(
        HistoryEntry.message_id == Dispatch.message_id,
        HistoryEntry.dispatch_id == Dispatch.id,
        HistoryEntry.reported.is_not(None),
    )
    .order_by(HistoryEntry.id)
    .correlate(Dispatch)
    .subquery()
)
_REPORTS = sa.select(JsonRows(_SAID.c.reported, _SAID.c.reason)).scalar_subquery()
_OF_MESSAGES = Query(
    ReportedDispatch,
    sa.select(*DISPATCH_COLUMNS, _REPORTS.label("reports"))
    .where(Dispatch.message_id.in_(sa.bindparam("message_ids", expanding=True)))
    .order_by(*_OLDEST_FIRST),
)


def find(session: Session, device_id: str, dispatch_id: str) -> Dispatch | None:
    """Return the dispatch with that id if the device was handed it."""
    dispatch = session.get(Dispatch, dispatch_id)
    return dispatch if dispatch is not None and dispatch.device_id == device_id else None


def of_message(session: Session, message_id: str) -> Sequence[Dispatch]:
    """Return all dispatches of the message, oldest first."""
    return session.scalars(
        sa.select(Dispatch).where(Dispatch.message_id == message_id).order_by(*_OLDEST_FIRST)
    ).all()


def of_messages(session: Session, message_ids: Sequence[str]) -> dict[str, list[ReportedDispatch]]:
    """Return the dispatches of each of these messages, as plain rows."""
    siblings: dict[str, list[ReportedDispatch]] = defaultdict(list)
    if message_ids:
        for row in _OF_MESSAGES.all(session, message_ids=message_ids):
            siblings[row.message_id].append(row)
    return siblings


def lock_messages(session: Session, dispatch_ids: Sequence[str]) -> dict[str, ReportedMessage]:
    """Lock the messages of these dispatches and return them; until then others may change the dispatches."""
    return {row.id: row for row in _LOCK_MESSAGES.all(session, dispatch_ids=dispatch_ids)}


def settle(
    message: Message | MessageRow,
    dispatches: Sequence[Dispatch | DispatchRow],
    history: HistoryWriter,
) -> bool:
    """Give the message the status of its dispatch that got furthest, and announce a new status to its CRM.

    Returns whether the message has changed. A dispatch that a resend has superseded counts only if its SMS was sent;
    then the message is no longer queued for the resend either.
    """
    leading = _leading(dispatches)
    if leading is None or _outcome(leading) == _outcome(message):
        return False
    was = message.status
    message.status = leading.status
    message.device_id = leading.device_id
    message.reason = leading.reason
    message.reason_class = leading.reason_class
    message.stuck_at = None
    message.updated_at = history.now
    if leading.status in statuses.WENT_OUT:
        message.sent_at = message.sent_at or history.now
    if leading.status == statuses.DELIVERED:
        message.delivered_at = history.now
    is_radio_retry = was == statuses.SENDING and leading.status == statuses.ACCEPTED
    if leading.status in _ANNOUNCED and not is_radio_retry:
        history.announce(f"message.{leading.status}", message, [message.crm_id or ""])
    return True


def end_unconfirmed(
    message: Message | MessageRow, dispatches: Sequence[DispatchRow], history: HistoryWriter
) -> list[DispatchRow]:
    """Fail the unconfirmed dispatches of a message that was sent, so that they are not handed out again; return them.

    A later report still counts.
    """
    if message.status not in statuses.WENT_OUT:
        return []
    ended = [
        dispatch
        for dispatch in dispatches
        if dispatch.status == statuses.DISPATCHED and dispatch.acknowledged_at is None
    ]
    for dispatch in ended:
        fail_unconfirmed(message, dispatch, _NOT_NEEDED, history)
    return ended


def fail_unconfirmed(
    message: Message | MessageRow,
    dispatch: Dispatch | DispatchRow,
    reason: str,
    history: HistoryWriter,
) -> None:
    """Fail a dispatch as `unconfirmed`: its phone may have sent it all the same, so a later report still counts."""
    dispatch.status = statuses.FAILED
    dispatch.status_at = history.now
    dispatch.reason = reason
    dispatch.reason_class = "unconfirmed"
    dispatch.stuck_at = None
    history.note(message, statuses.FAILED, dispatch=dispatch, reason=reason)


def _outcome(
    row: Dispatch | DispatchRow | Message | MessageRow,
) -> tuple[str, str | None, str | None]:
    return row.status, row.reason, row.reason_class


def _leading(dispatches: Sequence[Dispatch | DispatchRow]) -> Dispatch | DispatchRow | None:
    candidates = [
        dispatch
        for dispatch in dispatches
        if dispatch.superseded_at is None or dispatch.status in statuses.WENT_OUT
    ]
    if not candidates:
        return None
    best = statuses.furthest([dispatch.status for dispatch in candidates])
    return next(dispatch for dispatch in reversed(candidates) if dispatch.status == best)
