"""Reports: what a device says about its dispatches, and what follows for their messages."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..sms import reasons, statuses
from ..store.db import run
from ..store.models import Dispatch, HistoryEntry, Message
from . import devices, rows
from .journal import Journal
from .locking import Locked
from .rows import DISPATCH_COLUMNS, DISPATCHES, MESSAGE_COLUMNS, MESSAGES, Row, Saving

MAX_REASON = 500
_LOG = logging.getLogger(__name__)
_NEVER_BACK = {"dispatched": 0, "accepted": 1, "sending": 2, "sent": 3, "failed": 4, "delivered": 5}
# What a report may change of its dispatch, and then of the message.
_DISPATCHES_TOLD = Saving(
    DISPATCHES,
    "status",
    "status_at",
    "reason",
    "reason_class",
    "stuck_at",
    "acknowledged_at",
    "retry_count",
)
_MESSAGES_MOVED = Saving(
    MESSAGES,
    "status",
    "device_id",
    "reason",
    "reason_class",
    "stuck_at",
    "updated_at",
    "sent_at",
    "delivered_at",
)
_TOLD = ("accepted", "sent", "delivered", "failed")

# A word of the phone's and the reason it gave.
_Said = tuple[str, str | None]


@dataclass(frozen=True)
class Report:
    """One thing a device said. `word` is its own, `status` ours, `None` where we do not know the word."""

    dispatch_id: str
    word: str
    status: str | None
    reason: str | None = None


@dataclass(frozen=True)
class Rule:
    """How to read reports: which status may follow which, and whether a poll without reports says that all before were
    answered. After such a poll the same words are no repeat: the radio, or a person, has tried again."""

    may_move: Callable[[str, str, str | None], bool]
    heeds_quiet: bool = False


def _is_forward(current: str, reported: str, _reason: str | None) -> bool:
    return statuses.may_overtake(current, reported)


def _is_never_back(current: str, reported: str, _reason: str | None) -> bool:
    return _NEVER_BACK[reported] > _NEVER_BACK[current]


# For reports that came one request after another.
in_order = Rule(statuses.may_follow, heeds_quiet=True)
# For reports of a request that overlapped another one of the same device.
out_of_order = Rule(_is_forward)
# For apps that say SENT at once and learn of a failure later: only forward, `failed` beyond `sent`.
never_back = Rule(_is_never_back)


def apply(
    session: Session,
    device: Locked,
    batch: Sequence[Report],
    rule: Rule,
    journal: Journal,
) -> None:
    """Applies a device's reports, in the order they came; the device's row must be locked.

    Each one acknowledges its dispatch, also one we do not understand. A repeat changes nothing and is not kept twice.
    Reports about dispatches we do not know, or of another device, are counted at the device.
    """
    if not batch:
        return
    by_dispatch: dict[str, list[Report]] = defaultdict(list)
    for report in batch:
        by_dispatch[report.dispatch_id].append(report)
    messages = _lock_messages(session, list(by_dispatch))
    siblings = _dispatches(session, list(messages))
    dispatches = _own(device, by_dispatch, siblings)
    unknown = sum(len(said) for key, said in by_dispatch.items() if key not in dispatches)
    if messages and unknown:
        _warn_of_others(device, by_dispatch, siblings)
    if unknown:
        devices.count_unknown_reports(session, device.id, unknown)
    told: dict[str, Row] = {}
    moved: dict[str, Row] = {}
    quiet_at = device.quiet_at if rule.heeds_quiet else None
    heard = _heard(session, dispatches, quiet_at)
    for report in _unheard(by_dispatch, heard, dispatches):
        dispatch = dispatches[report.dispatch_id]
        message = messages[dispatch.message_id]
        _take(dispatch, message, report, rule, journal)
        told[dispatch.id] = dispatch
        if settle(message, siblings[message.id], journal):
            moved[message.id] = message
    _DISPATCHES_TOLD.save(session, told.values())
    _MESSAGES_MOVED.save(session, moved.values())


def settle(message: Message | Row, dispatches: Sequence[Dispatch | Row], journal: Journal) -> bool:
    """Gives the message the status of the dispatch that got furthest, and tells its CRM when that is news.

    Returns whether that changed the message.

    A dispatch that a resend took the place of only speaks when its SMS was sent; then it also cancels the newer one
    when no phone has that yet.
    """
    speaking = _speaking(dispatches)
    if speaking is None or _word(speaking) == _word(message):
        return False
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
    return True


def _word(row: Dispatch | Message | Row) -> tuple[str, str | None, str | None]:
    return row.status, row.reason, row.reason_class


def _speaking(dispatches: Sequence[Dispatch | Row]) -> Dispatch | Row | None:
    candidates = [
        dispatch
        for dispatch in dispatches
        if dispatch.superseded_at is None or dispatch.status in ("sent", "delivered")
    ]
    if not candidates:
        return None
    best = statuses.furthest([dispatch.status for dispatch in candidates])
    return next(dispatch for dispatch in reversed(candidates) if dispatch.status == best)


def _take(dispatch: Row, message: Row, report: Report, rule: Rule, journal: Journal) -> None:
    dispatch.acknowledged_at = dispatch.acknowledged_at or journal.now
    if message.purged_at is not None:
        # Its history went with its text, so nobody can tell whether this is a repeat.
        return
    _, reason = _said(report)
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
    if not rule.may_move(current, report.status, reason):
        return
    if (current, report.status) == ("sending", "accepted"):
        dispatch.retry_count += 1
    dispatch.status = report.status
    dispatch.status_at = journal.now
    dispatch.stuck_at = None
    has_failed = report.status == "failed"
    dispatch.reason = reason if has_failed else None
    dispatch.reason_class = reasons.classify(reason or "") if has_failed else None


def _lock_messages(session: Session, dispatch_ids: Sequence[str]) -> dict[str, Row]:
    """The messages of these dispatches, locked before the dispatches are read: giving up may be at them just now."""
    found = rows.fetch(session, _LOCK_MESSAGES, dispatch_ids=dispatch_ids)
    return {row.id: row for row in found}


def _dispatches(session: Session, message_ids: Sequence[str]) -> dict[str, list[Row]]:
    """All dispatches of these messages, oldest first."""
    siblings: dict[str, list[Row]] = defaultdict(list)
    if message_ids:
        for row in rows.fetch(session, _DISPATCHES_OF, message_ids=message_ids):
            siblings[row.message_id].append(row)
    return siblings


def _own(
    device: Locked, dispatch_ids: Collection[str], siblings: dict[str, list[Row]]
) -> dict[str, Row]:
    """Those the device speaks of and was handed, in the order it speaks of them."""
    found = {row.id: row for group in siblings.values() for row in group}
    return {
        key: found[key]
        for key in dispatch_ids
        if key in found and found[key].device_id == device.id
    }


def _warn_of_others(
    device: Locked, dispatch_ids: Collection[str], siblings: dict[str, list[Row]]
) -> None:
    for row in (row for group in siblings.values() for row in group):
        if row.id in dispatch_ids and row.device_id != device.id:
            _LOG.warning("device %s reports on %s of device %s", device.id, row.id, row.device_id)


def _heard(
    session: Session, dispatches: dict[str, Row], quiet_at: datetime | None
) -> dict[str, list[_Said]]:
    """What the phone has said about each dispatch so far and may be repeating now, in its order."""
    heard: dict[str, list[_Said]] = defaultdict(list)
    last_at: dict[str, datetime] = {}
    if dispatches:
        for row in run(session, _HEARD, {"dispatch_ids": list(dispatches)}):
            heard[str(row.dispatch_id)].append((str(row.reported), row.reason))
            last_at[str(row.dispatch_id)] = row.at
    if quiet_at is None:
        return heard
    return {key: said for key, said in heard.items() if last_at[key] >= quiet_at}


def _unheard(
    by_dispatch: dict[str, list[Report]],
    heard: dict[str, list[_Said]],
    dispatches: dict[str, Row],
) -> list[Report]:
    """The reports that are no repeats, dispatch by dispatch."""
    news: list[Report] = []
    for dispatch_id in dispatches:
        reports = by_dispatch[dispatch_id]
        said = [_said(report) for report in reports]
        count = len(statuses.unheard(heard.get(dispatch_id, []), said))
        news.extend(reports[len(reports) - count :])
    return news


def _said(report: Report) -> _Said:
    return report.word, report.reason[:MAX_REASON] if report.reason else None


# Not limited to the device: SQLite would then walk through all it ever had, by their index, and not go by their ids.
_LOCK_MESSAGES = (
    sa.select(*MESSAGE_COLUMNS)
    .where(
        MESSAGES.c.id.in_(
            sa.select(DISPATCHES.c.message_id).where(
                DISPATCHES.c.id.in_(sa.bindparam("dispatch_ids", expanding=True))
            )
        )
    )
    .order_by(MESSAGES.c.id)
    .with_for_update()
)
_DISPATCHES_OF = (
    sa.select(*DISPATCH_COLUMNS)
    .where(DISPATCHES.c.message_id.in_(sa.bindparam("message_ids", expanding=True)))
    .order_by(DISPATCHES.c.handed_out_at, DISPATCHES.c.id)
)
_HEARD = (
    sa.select(HistoryEntry.dispatch_id, HistoryEntry.reported, HistoryEntry.reason, HistoryEntry.at)
    .where(
        HistoryEntry.dispatch_id.in_(sa.bindparam("dispatch_ids", expanding=True)),
        HistoryEntry.reported.is_not(None),
    )
    .order_by(HistoryEntry.id)
)
