"""Applies what a device reports about its dispatches, and what follows for their messages."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...sms import reasons, statuses
from ...store.models import Device, Dispatch
from ...store.queries import Change, RowUpdate
from ...store.rows import DispatchRow, MessageRow
from ...store.tables import plain
from ..devices.locking import Locked
from . import dispatches
from .history import HistoryWriter

MAX_REASON = 500
# How many reports on one dispatch are kept; of more, only those count that bring it further than it ever was.
MOST_REPORTS = 500
_LOG = logging.getLogger(__name__)
# What a report may change of its dispatch.
_REPORTED = RowUpdate(
    Dispatch,
    DispatchRow,
    "status",
    "status_at",
    "reason",
    "reason_class",
    "stuck_at",
    "acknowledged_at",
    "retry_count",
    "reported_revision",
)
# For so long after a failure an older request may still arrive late, which says once more what was said before.
LATE_FOR = timedelta(minutes=5)

# A word of the phone's and the reason it gave.
_Words = tuple[str, str | None]


_COUNT_UNKNOWN = Change(
    sa.update(plain(Device))
    .where(Device.id == sa.bindparam("device_id"))
    .values(
        {
            Device.unknown_report_count: Device.unknown_report_count
            + sa.bindparam("count", type_=sa.Integer)
        }
    )
)


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
    return statuses.may_overtake(current, reported, statuses.FAILED_AFTER_SENT)


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
    history: HistoryWriter,
) -> None:
    """Apply a device's reports, in the order they came; the device's row must be locked.

    Each one acknowledges its dispatch, also one we do not understand. A repeat changes nothing and is not kept twice.
    Reports about dispatches we do not know, or of another device, are counted at the device.
    """
    if not batch:
        return
    by_dispatch: dict[str, list[Report]] = defaultdict(list)
    for report in batch:
        by_dispatch[report.dispatch_id].append(report)
    messages = dispatches.lock_messages(session, list(by_dispatch))
    siblings = dispatches.of_messages(session, list(messages))
    own = _own(device, by_dispatch, siblings)
    unknown = sum(len(said) for key, said in by_dispatch.items() if key not in own)
    if messages and unknown:
        _warn_of_others(device, by_dispatch, siblings)
    if unknown:
        _COUNT_UNKNOWN.run(session, device_id=device.id, count=unknown)
    reported: dict[str, DispatchRow] = {}
    settled: dict[str, MessageRow] = {}
    earlier = _earlier_words(session, own)
    repeatable = _repeatable(earlier, own, device.quiet_revision if rule.heeds_quiet else None)
    for dispatch in own.values():
        dispatch.reported_revision = device.revision
        reported[dispatch.id] = dispatch
    kept = Counter({key: len(said) for key, said in earlier.items()})
    for report in _without_repeats(by_dispatch, repeatable, own):
        dispatch = own[report.dispatch_id]
        if kept[dispatch.id] >= MOST_REPORTS and not _brings_further(dispatch, report):
            continue
        kept[dispatch.id] += 1
        message = messages[dispatch.message_id]
        _apply_one(dispatch, message, report, rule, earlier[dispatch.id], history)
        if dispatches.settle(message, siblings[message.id], history):
            settled[message.id] = message
        for ended in dispatches.end_unconfirmed(message, siblings[message.id], history):
            reported[ended.id] = ended
    _REPORTED.run(session, reported.values())
    dispatches.SETTLED.run(session, settled.values())


def _apply_one(
    dispatch: DispatchRow,
    message: MessageRow,
    report: Report,
    rule: Rule,
    earlier: Collection[_Words],
    history: HistoryWriter,
) -> None:
    dispatch.acknowledged_at = dispatch.acknowledged_at or history.now
    if message.purged_at is not None:
        # Its history went with its text, so nobody knows whether this is a repeat.
        return
    _, reason = _said(report)
    history.note(
        message,
        report.status or report.word,
        dispatch=dispatch,
        reason=reason,
        reported=report.word,
    )
    if report.status is None or (_said(report) in earlier and _may_be_late(dispatch, history)):
        return
    # A failure we only assumed is no word of the phone's: whatever it says now counts.
    current = "dispatched" if dispatch.reason_class == "unconfirmed" else dispatch.status
    if not rule.may_move(current, report.status, reason):
        return
    if (current, report.status) == ("sending", "accepted"):
        dispatch.retry_count += 1
    dispatch.status = report.status
    dispatch.status_at = history.now
    dispatch.stuck_at = None
    has_failed = report.status == "failed"
    dispatch.reason = reason if has_failed else None
    dispatch.reason_class = reasons.classify(reason or "") if has_failed else None


def _brings_further(dispatch: DispatchRow, report: Report) -> bool:
    return report.status is not None and statuses.may_overtake(dispatch.status, report.status)


def _may_be_late(dispatch: DispatchRow, history: HistoryWriter) -> bool:
    """Whether words that were said before may come from an older request that arrives only now.

    Only the end of a person's retry is new then: SENT, DELIVERED, or FAILED for another reason.
    """
    if dispatch.status == "failed":
        return abs(history.now - dispatch.status_at) < LATE_FOR
    return dispatch.status in ("sent", "delivered")


def _own(
    device: Locked, dispatch_ids: Collection[str], siblings: dict[str, list[DispatchRow]]
) -> dict[str, DispatchRow]:
    """Those the device speaks of and was handed, in the order it speaks of them."""
    found = {row.id: row for group in siblings.values() for row in group}
    return {
        key: found[key]
        for key in dispatch_ids
        if key in found and found[key].device_id == device.id
    }


def _warn_of_others(
    device: Locked, dispatch_ids: Collection[str], siblings: dict[str, list[DispatchRow]]
) -> None:
    for row in (row for group in siblings.values() for row in group):
        if row.id in dispatch_ids and row.device_id != device.id:
            _LOG.warning("device %s reports on %s of device %s", device.id, row.id, row.device_id)


def _earlier_words(session: Session, own: dict[str, DispatchRow]) -> dict[str, list[_Words]]:
    """What the phone has said about each dispatch so far, in its order."""
    found: dict[str, list[_Words]] = {key: [] for key in own}
    if own:
        for row in dispatches.reports_of(session, list(own)):
            found[row.dispatch_id].append((row.reported, row.reason))
    return found


def _repeatable(
    earlier: dict[str, list[_Words]], own: dict[str, DispatchRow], quiet_revision: int | None
) -> dict[str, list[_Words]]:
    """What of it the phone may be repeating now: not what was answered before a poll without reports was let in."""
    if quiet_revision is None:
        return earlier
    return {
        key: said for key, said in earlier.items() if own[key].reported_revision > quiet_revision
    }


def _without_repeats(
    by_dispatch: dict[str, list[Report]],
    earlier: dict[str, list[_Words]],
    own: dict[str, DispatchRow],
) -> list[Report]:
    """The reports that are no repeats, dispatch by dispatch."""
    fresh: list[Report] = []
    for dispatch_id in own:
        reports = by_dispatch[dispatch_id]
        said = [_said(report) for report in reports]
        count = len(statuses.without_repeat(earlier.get(dispatch_id, []), said))
        fresh.extend(reports[len(reports) - count :])
    return fresh


def _said(report: Report) -> _Words:
    return report.word, report.reason[:MAX_REASON] if report.reason else None
