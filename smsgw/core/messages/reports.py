"""Applies what a device reports about its dispatches, and what follows for their messages."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import reasons, statuses
from ...store.models import Device
from ...store.queries import Change
from ...store.rows import DispatchRow, MessageRow
from ...store.tables import plain
from ..devices.locking import Locked
from . import dispatches, repeated_reports, sticky_senders
from .dispatches import ReportedDispatch, ReportedMessage
from .history import HistoryWriter
from .outcomes import Outcomes
from .repeated_reports import Words
from .report_rules import ReportRule

# How many reports on one dispatch are kept; of more, only those count that bring it further than it ever was.
MOST_REPORTS = 500
_LOG = logging.getLogger(__name__)
# For so long after a failure an older request may still arrive late, which says once more what was said before.
LATE_FOR = timedelta(minutes=5)

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
class _Reported:
    """The rows of the reported dispatches: the device's own ones, their messages, all dispatches of those, and
    what the device has said about its own so far."""

    own: dict[str, ReportedDispatch]
    messages: dict[str, ReportedMessage]
    siblings: dict[str, list[ReportedDispatch]]
    earlier: dict[str, list[Words]]

    def of(self, dispatch: DispatchRow) -> tuple[ReportedMessage, list[ReportedDispatch]]:
        """Return the message of a dispatch, and all dispatches of it."""
        return self.messages[dispatch.message_id], self.siblings[dispatch.message_id]


def apply(
    session: Session,
    device: Locked,
    batch: Sequence[Report],
    rule: ReportRule,
    settings: Settings,
    history: HistoryWriter,
) -> None:
    """Apply a device's reports, in the order they came; the device's row must be locked. `history` writes the rows.

    Each one acknowledges its dispatch, also one we do not understand. A repeat changes nothing and is not kept twice.
    Reports about dispatches we do not know, or of another device, are counted at the device. Failures for a limit may
    pause the device; what it has surely not sent is queued again.
    """
    if not batch:
        return
    by_dispatch: dict[str, list[Report]] = defaultdict(list)
    for report in batch:
        by_dispatch[report.dispatch_id].append(report)
    stored = _read(session, device, by_dispatch)
    history.note_subscribers(stored.messages.values())
    _count_unknown(session, device, by_dispatch, stored)
    quiet_revision = device.quiet_revision if rule.heeds_quiet else None
    repeatable = repeated_reports.repeatable(stored.earlier, stored.own, quiet_revision)
    fresh = repeated_reports.without_repeats(by_dispatch, repeatable, stored.own)
    for dispatch in stored.own.values():
        dispatch.reported_revision = device.revision
    outcomes = Outcomes(session, stored.earlier, history)
    settled, ended = _apply_fresh(fresh, stored, rule, outcomes, history)
    history.change((stored.own | ended).values(), settled.values())
    outcomes.write(device, settings)
    sticky_senders.note_sent(session, settled.values(), history.now)


def _read(session: Session, device: Locked, dispatch_ids: Collection[str]) -> _Reported:
    messages = dispatches.lock_messages(session, list(dispatch_ids))
    siblings = dispatches.of_messages(session, list(messages))
    own = _own(device, dispatch_ids, siblings)
    return _Reported(own, messages, siblings, repeated_reports.earlier_words(own))


def _apply_fresh(
    fresh: Sequence[Report],
    stored: _Reported,
    rule: ReportRule,
    outcomes: Outcomes,
    history: HistoryWriter,
) -> tuple[dict[str, ReportedMessage], dict[str, DispatchRow]]:
    """Apply reports that are no repeats; return the messages that this changed and the dispatches that it ended."""
    settled: dict[str, ReportedMessage] = {}
    ended: dict[str, DispatchRow] = {}
    kept = Counter({key: len(said) for key, said in stored.earlier.items()})
    for report in fresh:
        dispatch = stored.own[report.dispatch_id]
        if kept[dispatch.id] >= MOST_REPORTS and not _brings_further(dispatch, report):
            continue
        kept[dispatch.id] += 1
        message, siblings = stored.of(dispatch)
        earlier = stored.earlier[dispatch.id]
        has_changed = _apply_one(dispatch, message, report, rule, earlier, history)
        outcomes.note(dispatch, message, report.word, has_changed=has_changed)
        if dispatches.settle(message, siblings, history):
            settled[message.id] = message
        for one in dispatches.end_unconfirmed(message, siblings, history):
            ended[one.id] = one
    return settled, ended


def _apply_one(
    dispatch: DispatchRow,
    message: MessageRow,
    report: Report,
    rule: ReportRule,
    earlier: list[Words],
    history: HistoryWriter,
) -> bool:
    """Apply one report; return whether its dispatch has another status, or another reason, than before."""
    dispatch.acknowledged_at = dispatch.acknowledged_at or history.now
    if message.purged_at is not None:
        # Its history went with its text, so nobody knows whether this is a repeat.
        return False
    said = repeated_reports.words_of(report)
    _, reason = said
    history.note(
        message,
        report.status or report.word,
        dispatch=dispatch,
        reason=reason,
        reported=report.word,
    )
    if report.status is None or (said in earlier and _may_be_late(dispatch, history)):
        return False
    # A failure we only assumed is no word of the phone's: whatever it says now counts.
    current = statuses.DISPATCHED if dispatch.reason_class == "unconfirmed" else dispatch.status
    if not rule.may_move(current, report.status, reason):
        return False
    if (current, report.status) == (statuses.SENDING, statuses.ACCEPTED):
        dispatch.retry_count += 1
    # The phone says the rest of this request in its order, so it is newer than this, whatever was said before.
    earlier.clear()
    dispatch.status = report.status
    dispatch.status_at = history.now
    dispatch.stuck_at = None
    has_failed = report.status == statuses.FAILED
    dispatch.reason = reason if has_failed else None
    dispatch.reason_class = reasons.classify(reason or "") if has_failed else None
    return True


def _brings_further(dispatch: DispatchRow, report: Report) -> bool:
    return report.status is not None and statuses.may_overtake(dispatch.status, report.status)


def _may_be_late(dispatch: DispatchRow, history: HistoryWriter) -> bool:
    """Return whether words that were said before may come from an older request that arrives only now.

    Only the end of a person's retry is new then: SENT, DELIVERED, or FAILED for another reason.
    """
    if dispatch.status == statuses.FAILED:
        return abs(history.now - dispatch.status_at) < LATE_FOR
    return dispatch.status in statuses.WENT_OUT


def _own(
    device: Locked, dispatch_ids: Collection[str], siblings: dict[str, list[ReportedDispatch]]
) -> dict[str, ReportedDispatch]:
    """Return those the device speaks of and was handed, in the order it speaks of them."""
    found = {row.id: row for group in siblings.values() for row in group}
    return {
        key: found[key]
        for key in dispatch_ids
        if key in found and found[key].device_id == device.id
    }


def _count_unknown(
    session: Session, device: Locked, by_dispatch: Mapping[str, Sequence[Report]], stored: _Reported
) -> None:
    """Count the reports about dispatches that the device was never handed, and warn of those of other devices."""
    unknown = {key: said for key, said in by_dispatch.items() if key not in stored.own}
    if not unknown:
        return
    for row in (row for group in stored.siblings.values() for row in group if row.id in unknown):
        _LOG.warning("device %s reports on %s of device %s", device.id, row.id, row.device_id)
    _COUNT_UNKNOWN.run(session, device_id=device.id, count=sum(map(len, unknown.values())))
