"""Reports: what a device says about its dispatches, and what follows for their messages."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..sms import reasons, statuses
from ..store.models import Device, Dispatch, HistoryEntry, Message
from .journal import Journal

MAX_REASON = 500
_NEVER_BACK = {"dispatched": 0, "accepted": 1, "sending": 2, "sent": 3, "failed": 4, "delivered": 5}
_TOLD = ("accepted", "sent", "delivered", "failed")

MayMove = Callable[[str, str, str | None], bool]


@dataclass(frozen=True)
class Report:
    """One thing a device said. `word` is its own, `status` ours, `None` where we do not know the word."""

    dispatch_id: str
    word: str
    status: str | None
    reason: str | None = None


def in_order(current: str, reported: str, reason: str | None) -> bool:
    """The rule for reports that came one request after another."""
    return statuses.may_follow(current, reported, reason)


def out_of_order(current: str, reported: str, _reason: str | None) -> bool:
    """The rule for reports of a request that overlapped another one of the same device."""
    return statuses.may_overtake(current, reported)


def never_back(current: str, reported: str, _reason: str | None) -> bool:
    """The rule for apps that say SENT at once and learn of a failure later: only forward, `failed` beyond `sent`."""
    return _NEVER_BACK[reported] > _NEVER_BACK[current]


def apply(
    session: Session, device: Device, batch: Sequence[Report], may_move: MayMove, now: datetime
) -> None:
    """Applies a device's reports, in the order they came; the device's row must be locked.

    Each one acknowledges its dispatch, also one we do not understand. A repeat changes nothing and is not kept twice.
    Reports about dispatches we do not know, or of another device, are counted at the device.
    """
    by_dispatch: dict[str, list[Report]] = defaultdict(list)
    for report in batch:
        by_dispatch[report.dispatch_id].append(report)
    messages = _lock_messages(session, device, list(by_dispatch))
    dispatches = _dispatches(session, device, list(by_dispatch))
    device.unknown_report_count += sum(
        len(reports) for key, reports in by_dispatch.items() if key not in dispatches
    )
    if not dispatches:
        return
    heard = _heard(session, dispatches)
    siblings = _siblings(session, messages)
    journal = Journal(now)
    for report in _unheard(by_dispatch, heard, dispatches):
        dispatch = dispatches[report.dispatch_id]
        message = messages[dispatch.message_id]
        _take(dispatch, message, report, may_move, journal)
        settle(message, siblings[message.id], journal)
    journal.write(session)


def settle(message: Message, dispatches: Sequence[Dispatch], journal: Journal) -> None:
    """Gives the message the status of the dispatch that got furthest, and tells its CRM when that is news.

    A dispatch that a resend took the place of only speaks when its SMS was sent; then it also cancels the newer one
    when no phone has that yet.
    """
    speaking = _speaking(dispatches)
    if speaking is None or _word(speaking) == _word(message):
        return
    was = message.status
    message.status = speaking.status
    message.device_id = speaking.device_id
    message.reason = speaking.reason
    message.reason_class = speaking.reason_class
    message.stuck_at = None
    message.updated_at = journal.now
    if speaking.status in ("sent", "delivered"):
        message.sent_at = message.sent_at or journal.now
    if speaking.status == "delivered":
        message.delivered_at = journal.now
    is_radio_retry = was == "sending" and speaking.status == "accepted"
    if speaking.status in _TOLD and not is_radio_retry:
        journal.tell(f"message.{speaking.status}", message, [message.crm_id or ""])


def _word(row: Dispatch | Message) -> tuple[str, str | None, str | None]:
    return row.status, row.reason, row.reason_class


def _speaking(dispatches: Sequence[Dispatch]) -> Dispatch | None:
    candidates = [
        dispatch
        for dispatch in dispatches
        if dispatch.superseded_at is None or dispatch.status in ("sent", "delivered")
    ]
    if not candidates:
        return None
    best = statuses.furthest([dispatch.status for dispatch in candidates])
    return next(dispatch for dispatch in reversed(candidates) if dispatch.status == best)


def _take(
    dispatch: Dispatch, message: Message, report: Report, may_move: MayMove, journal: Journal
) -> None:
    dispatch.acknowledged_at = dispatch.acknowledged_at or journal.now
    reason = report.reason[:MAX_REASON] if report.reason else None
    journal.note(
        message,
        report.status or report.word,
        dispatch=dispatch,
        reason=reason,
        reported=report.word,
    )
    if report.status is None:
        return
    # A failure we only assumed is no word of the phone's: whatever it says now counts.
    current = "dispatched" if dispatch.reason_class == "unconfirmed" else dispatch.status
    if not may_move(current, report.status, reason):
        return
    if (current, report.status) == ("sending", "accepted"):
        dispatch.retry_count += 1
    dispatch.status = report.status
    dispatch.status_at = journal.now
    dispatch.stuck_at = None
    has_failed = report.status == "failed"
    dispatch.reason = reason if has_failed else None
    dispatch.reason_class = reasons.classify(reason or "") if has_failed else None


def _lock_messages(
    session: Session, device: Device, dispatch_ids: Sequence[str]
) -> dict[str, Message]:
    """The messages of these dispatches, locked before the dispatches are read: giving up may be at them just now."""
    message_ids = sa.select(Dispatch.message_id).where(
        Dispatch.id.in_(dispatch_ids), Dispatch.device_id == device.id
    )
    rows = session.scalars(
        sa.select(Message).where(Message.id.in_(message_ids)).order_by(Message.id).with_for_update()
    )
    return {row.id: row for row in rows}


def _dispatches(
    session: Session, device: Device, dispatch_ids: Sequence[str]
) -> dict[str, Dispatch]:
    rows = session.scalars(
        sa.select(Dispatch).where(Dispatch.id.in_(dispatch_ids), Dispatch.device_id == device.id)
    )
    return {row.id: row for row in rows}


def _heard(session: Session, dispatches: dict[str, Dispatch]) -> dict[str, list[str]]:
    """What the phone has said about each dispatch so far, its own words in their order."""
    heard: dict[str, list[str]] = defaultdict(list)
    rows = session.execute(
        sa.select(HistoryEntry.dispatch_id, HistoryEntry.reported)
        .where(HistoryEntry.dispatch_id.in_(list(dispatches)), HistoryEntry.reported.is_not(None))
        .order_by(HistoryEntry.id)
    )
    for dispatch_id, word in rows:
        heard[str(dispatch_id)].append(str(word))
    return heard


def _siblings(session: Session, messages: dict[str, Message]) -> dict[str, list[Dispatch]]:
    siblings: dict[str, list[Dispatch]] = defaultdict(list)
    rows = session.scalars(
        sa.select(Dispatch)
        .where(Dispatch.message_id.in_(list(messages)))
        .order_by(Dispatch.handed_out_at, Dispatch.id)
    )
    for row in rows:
        siblings[row.message_id].append(row)
    return siblings


def _unheard(
    by_dispatch: dict[str, list[Report]],
    heard: dict[str, list[str]],
    dispatches: dict[str, Dispatch],
) -> list[Report]:
    """The reports that are no repeats, dispatch by dispatch."""
    news: list[Report] = []
    for dispatch_id in dispatches:
        said = by_dispatch[dispatch_id]
        count = len(statuses.unheard(heard[dispatch_id], [report.word for report in said]))
        news.extend(said[len(said) - count :])
    return news
