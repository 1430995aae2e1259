"""Lists everything an operator should check, each with what to do about it."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import program
from ...settings import Settings
from ...store import encryption
from ...store.db import Database, is_postgresql
from ...store.models import Device, Message, QuarantinedItem, WorkerHeartbeat
from ..devices import registry
from ..events import feed, open_transactions
from ..messages import held, next_steps, number_spellings
from . import (
    backlog,
    callers,
    certificates,
    connections,
    copy_marks,
    health,
    receivers,
    spans,
    stopped_queues,
)
from .backlog import Backlog
from .finding import Finding

CLOCKS_AGREE_WITHIN = timedelta(seconds=60)
TRANSACTIONS_END_WITHIN = timedelta(minutes=1)

# How many messages are stuck, and how many items nobody could read are kept and were dropped.
_LEFT_OVER = sa.select(
    sa.select(sa.func.count(Message.id)).where(Message.stuck_at.is_not(None)).scalar_subquery(),
    sa.select(sa.func.min(Message.stuck_at)).where(Message.stuck_at.is_not(None)).scalar_subquery(),
    sa.select(sa.func.count(QuarantinedItem.id)).scalar_subquery(),
    sa.select(sa.func.max(QuarantinedItem.received_at)).scalar_subquery(),
    sa.select(sa.func.sum(Device.quarantine_dropped_count)).scalar_subquery(),
)


def examine(database: Database, settings: Settings, now: datetime) -> list[Finding]:
    """Return all findings. Checks that need the tables are left out where the tables are not up to date, and those
    of a running server where a copy keeps it from running.
    """
    findings = health.examine(database, now)
    if any(finding.check != "worker" and finding.state == "wrong" for finding in findings):
        return findings
    if copied := copy_marks.finding(database):
        return [*(finding for finding in findings if finding.check != "worker"), copied]
    with database.reading() as session:
        devices = registry.everyone(session)
        findings += [
            *of_server(session, settings, now),
            *of_queue(session, settings, now, devices, backlog.read(session, now)),
            *of_work(session, settings, now, devices),
        ]
    return [*findings, *certificates.findings(settings, now)]


def of_server(session: Session, settings: Settings, now: datetime) -> list[Finding]:
    """Return the findings that change seldom: about clocks, settings and the database."""
    return [
        _clock(session, now),
        encryption_of(settings),
        _public_url(settings),
        _numbers(session),
        *_open_transactions(session, now),
        *connections.findings(session, settings),
        *_held(session, now),
    ]


def of_work(
    session: Session, settings: Settings, now: datetime, devices: Sequence[Device]
) -> list[Finding]:
    """Return the findings about messages, webhooks, CRMs, and these devices."""
    stuck_count, stuck_since, item_count, newest_item_at, dropped_count = session.execute(
        _LEFT_OVER
    ).one()
    return [
        *callers.findings(session, settings, now, devices),
        _stuck(stuck_count, stuck_since, now),
        *receivers.findings(session, now),
        _quarantine(item_count, newest_item_at, dropped_count or 0, now),
    ]


def of_queue(
    session: Session, settings: Settings, now: datetime, devices: Sequence[Device], found: Backlog
) -> Iterator[Finding]:
    """Yield the findings about what waits in the queue."""
    yield from stopped_queues.findings(session, now, devices, found)
    yield from backlog.findings(session, settings, now, devices, found)


def encryption_of(settings: Settings) -> Finding:
    """Return the finding about encryption: whether anybody on the network could pose as the database."""
    hosts = encryption.unverified_hosts(settings.database_url)
    if not hosts or settings.database_url.startswith("sqlite:"):
        return Finding("database encryption", "ok", "certificate checked, or on this machine")
    text = f"the certificate of {', '.join(hosts)} is not checked, so anybody on the way may be it"
    advice = (
        "add ?sslmode=verify-full&sslrootcert=system (or the file of its CA) to SMSGW_DATABASE_URL"
    )
    return Finding("database encryption", "warning", text, advice)


def is_well(findings: Sequence[Finding]) -> bool:
    """Return whether nothing is wrong, apart from warnings."""
    return all(finding.state != "wrong" for finding in findings)


def _clock(session: Session, now: datetime) -> Finding:
    advice = "set this machine's clock (timedatectl set-ntp true)"
    if is_postgresql(session):
        apart = abs(session.scalars(sa.select(sa.func.now())).one() - now)
        if apart > CLOCKS_AGREE_WITHIN:
            text = f"this machine and the database differ by {spans.text(apart)}"
            return Finding("clock", "wrong", text, advice)
    latest = _latest(session)
    if latest is not None and latest - now > CLOCKS_AGREE_WITHIN:
        text = f"the database has rows from {spans.text(latest - now)} in the future"
        if is_postgresql(session):  # whose clock agrees with this machine's
            advice = "another machine's clock is wrong, or was: run doctor on each of them"
        return Finding("clock", "wrong", text, advice)
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _latest(session: Session) -> datetime | None:
    """Return the latest time in the database, of those that an index finds at once."""
    newest = session.scalar(sa.select(Message.created_at).order_by(Message.id.desc()).limit(1))
    heartbeat = session.scalar(sa.select(sa.func.max(WorkerHeartbeat.last_seen_at)))
    return max((moment for moment in (newest, heartbeat) if moment is not None), default=None)


def _public_url(settings: Settings) -> Finding:
    if settings.base_url.startswith("https://"):
        return Finding("public url", "ok", settings.base_url)
    text = f"{settings.base_url} is plain http, which phones with Android 9 or newer refuse"
    advice = "put an https proxy in front and set SMSGW_PUBLIC_URL (docs/https.md)"
    return Finding("public url", "warning", text, advice)


def _stuck(count: int, since: datetime | None, now: datetime) -> Finding:
    if since is None:
        return Finding("stuck messages", "ok", "none")
    return Finding(
        "stuck messages",
        "wrong",
        f"{count:,}, which a phone has had for too long, the first of them stuck since {spans.since(since, now)}",
        *next_steps.stuck().after(f"see {program.line('messages --stuck')};"),
    )


def _held(session: Session, now: datetime) -> Iterator[Finding]:
    since = held.since(session)
    if since is not None:
        text = (
            f"{held.count(session):,} waiting since a restore or 'db reopen' at {spans.since(since, now)}, "
            "which may have been sent since"
        )
        step = next_steps.held().after(f"see {program.line('messages --status queued')};")
        yield Finding("held messages", "wrong", text, *step)


def _numbers(session: Session) -> Finding:
    found = number_spellings.written_both_ways(session)
    if not found:
        return Finding("numbers", "ok", "each is written in one way")
    text = f"{found[0]} and {found[0][1:]} are two people here"
    others = f", and {len(found) - 1} more are written with and without +" if len(found) > 1 else ""
    advice = (
        "have all CRMs write the +, or set SMSGW_DEFAULT_REGION to the country of numbers without"
    )
    return Finding("numbers", "warning", f"{text}{others}", advice)


def _quarantine(
    count: int, newest_at: datetime | None, dropped_count: int, now: datetime
) -> Finding:
    if newest_at is None:
        return Finding("quarantine", "ok", "empty")
    text = f"{spans.counted(count, 'item')} that no one could read, the last from {spans.since(newest_at, now)}"
    if dropped_count:
        text += f", and {dropped_count:,} older ones were dropped for them"
    advice = f"see {program.line('quarantine list')}, then {program.line('quarantine clear')}"
    page_advice = "read them, enter by hand what matters, and clear them"
    return Finding("quarantine", "warning", text, advice, page_advice)


def _open_transactions(session: Session, now: datetime) -> Iterator[Finding]:
    latest = now - TRANSACTIONS_END_WITHIN
    for found in open_transactions.everyone(session):
        # Another role's session may not show since when: then by how long an event has waited.
        began_at = found.began_at or feed.withheld_since(session)
        if began_at is not None and began_at <= latest:
            yield Finding(
                "open transaction",
                "wrong",
                f"{found.name} has been writing to this database for {spans.text(now - began_at)}, "
                "and the event feed and the live sockets wait for it",
                f"end the program that left it open, or in psql: {found.ending}",
            )
