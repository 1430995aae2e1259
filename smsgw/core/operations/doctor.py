"""Lists everything an operator should check, each with what to do about it."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import program
from ...settings import Settings
from ...store import encryption
from ...store.db import Database, is_postgresql
from ...store.models import Crm, Device, Message, QuarantinedItem, WebhookEndpoint, WorkerHeartbeat
from ..accounts import crms
from ..devices import capacity, protocols, registry, wording
from ..devices.capacity import Load
from ..events import feed, open_transactions
from ..messages import archive, number_spellings, quarantine
from ..webhooks import endpoints
from . import health
from .health import Finding

CLOCKS_AGREE_WITHIN = timedelta(seconds=60)
FULL_IS_WRONG_AFTER = timedelta(minutes=10)
TRANSACTIONS_END_WITHIN = timedelta(minutes=1)
OLDEST_GOOD_APP = (1, 8)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_BATTERY = "open the app, look at its log; switch battery optimisation off for it"


def examine(database: Database, settings: Settings, now: datetime) -> list[Finding]:
    """All findings; what needs the tables is left out where they are not as they should be."""
    findings = health.examine(database, now)
    if any(finding.check != "worker" and finding.state == "wrong" for finding in findings):
        return findings
    with database.reading() as session:
        findings += [
            _clock(session, now),
            encryption_of(settings),
            _public_url(settings),
            *of_callers(session, settings, now),
            _stuck(session),
            _numbers(session),
            *_webhooks(session),
            _quarantine(session),
            *_open_transactions(session, now),
        ]
    return findings


def of_callers(session: Session, settings: Settings, now: datetime) -> list[Finding]:
    """What is to be said of devices, and of CRMs that wait for approval."""
    return [*_devices(session, settings, now), *_crms(session)]


def _clock(session: Session, now: datetime) -> Finding:
    advice = "set this machine's clock (timedatectl set-ntp true)"
    if is_postgresql(session):
        apart = abs(session.scalars(sa.select(sa.func.now())).one() - now)
        if apart > CLOCKS_AGREE_WITHIN:
            text = f"this machine and the database differ by {_span(apart)}"
            return Finding("clock", "wrong", text, advice)
    latest = _latest(session)
    if latest is not None and latest - now > CLOCKS_AGREE_WITHIN:
        text = f"the database has rows from {_span(latest - now)} in the future"
        return Finding("clock", "wrong", text, advice)
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _latest(session: Session) -> datetime | None:
    """The latest moment that was written, of those an index finds at once."""
    newest = session.scalar(sa.select(Message.created_at).order_by(Message.id.desc()).limit(1))
    beat = session.scalar(sa.select(sa.func.max(WorkerHeartbeat.last_seen_at)))
    return max((moment for moment in (newest, beat) if moment is not None), default=None)


def encryption_of(settings: Settings) -> Finding:
    """Whether anybody between this machine and the database could be the database."""
    hosts = encryption.unverified_hosts(settings.database_url)
    if not hosts or settings.database_url.startswith("sqlite:"):
        return Finding("database encryption", "ok", "certificate checked, or on this machine")
    text = f"the certificate of {', '.join(hosts)} is not checked, so anybody on the way may be it"
    advice = (
        "add ?sslmode=verify-full&sslrootcert=system (or the file of its CA) to SMSGW_DATABASE_URL"
    )
    return Finding("database encryption", "warning", text, advice)


def _public_url(settings: Settings) -> Finding:
    if settings.base_url.startswith("https://"):
        return Finding("public url", "ok", settings.base_url)
    text = f"{settings.base_url} is plain http, which phones with Android 9 or newer refuse"
    advice = "put an https proxy in front and set SMSGW_PUBLIC_URL (README, 'HTTPS')"
    return Finding("public url", "warning", text, advice)


def _devices(session: Session, settings: Settings, now: datetime) -> Iterator[Finding]:
    found = registry.everyone(session)
    if not found:
        yield Finding("devices", "wrong", "there is none", program.line("device add NAME"))
    stopped = _with_disabled_crm(session)
    loads = capacity.loads(session, now)
    for device in found:
        if not device.approved:
            yield _waiting(f"device {device.id}", "device", device.id)
            continue
        yield _presence(device, device.id in stopped, settings, now)
        if device.id in loads:
            yield from _in_hand(device, loads[device.id], settings, now)
        if _has_old_app(device):
            yield Finding(
                f"device {device.id}",
                "wrong",
                f"runs cht-gateway {device.app_version}, which loses track of what it sent",
                "install version 1.8 or newer",
            )


def _in_hand(device: Device, load: Load, settings: Settings, now: datetime) -> Iterator[Finding]:
    """What a phone has that does not move: it may have forgotten it."""
    check = f"device {device.id}"
    advice = (
        "look at the app: is it sending, has it reception and credit? If it was reinstalled, replaced or its data "
        f"cleared: {program.line(f'device reset {device.id}')}"
    )
    is_full = load.in_hand >= settings.in_flight_per_device
    if is_full and load.moved_at <= now - FULL_IS_WRONG_AFTER:
        text = (
            f"has had {load.in_hand} messages in hand since {load.moved_at:%Y-%m-%d %H:%M} UTC "
            "and gets no more until they move"
        )
        yield Finding(check, "wrong", text, advice)
    elif load.idle_count:
        hours = capacity.IDLE_AFTER // timedelta(hours=1)
        text = (
            f"has had {load.idle_count} of its {load.in_hand} messages in hand for more than {hours} hours "
            "and has not tried to send them"
        )
        yield Finding(check, "warning", text, advice)


def _crms(session: Session) -> Iterator[Finding]:
    for crm in crms.waiting(session):
        yield _waiting(f"crm {crm.name}", "crm", crm.id)


def _waiting(check: str, kind: str, name: str) -> Finding:
    advice = f"{program.line(f'{kind} approve {name}')}, or {program.line(f'{kind} remove {name}')}"
    return Finding(check, "warning", "registered itself and waits for approval", advice)


def _with_disabled_crm(session: Session) -> set[str]:
    disabled = sa.select(Crm.id).where(~Crm.enabled)
    return set(session.scalars(sa.select(Device.id).where(Device.owner_crm_id.in_(disabled))))


def _has_old_app(device: Device) -> bool:
    """Only cht-gateway's versions mean anything here; other apps count their own."""
    version = _VERSION.match(device.app_version or "")
    if device.protocol != protocols.CHT or version is None:
        return False
    return (int(version[1]), int(version[2])) < OLDEST_GOOD_APP


def _presence(device: Device, is_stopped: bool, settings: Settings, now: datetime) -> Finding:
    check, words = f"device {device.id}", wording.of(device)
    if not device.enabled:
        return Finding(check, "ok", "is disabled")
    if is_stopped:
        return Finding(check, "ok", "is refused, because its CRM is disabled")
    if device.last_seen_at is None:
        return Finding(check, "wrong", words.never, words.begin)
    ago = _span(now - device.last_seen_at)
    if registry.is_online(device, now, settings.device_offline_seconds):
        return Finding(check, "ok", f"{words.came} {ago} ago")
    return Finding(
        check, "wrong", f"{words.came} last {ago} ago", f"is it on and online? {_BATTERY}"
    )


def _stuck(session: Session) -> Finding:
    stuck = archive.ArchiveFilters(is_stuck=True)
    count = archive.count(session, stuck)
    if count == 0:
        return Finding("stuck messages", "ok", "none")
    return Finding(
        "stuck messages",
        "wrong",
        f"{count}: a phone has had them for too long",
        f"see {program.line('messages --stuck')}; look at the phone, then "
        f"{program.line('resend ID --may-duplicate')}",
    )


def _numbers(session: Session) -> Finding:
    found = number_spellings.twofold(session)
    if not found:
        return Finding("numbers", "ok", "each is written in one way")
    text = f"{found[0]} and {found[0][1:]} are two people here"
    others = f", and {len(found) - 1} more are written with and without +" if len(found) > 1 else ""
    advice = (
        "have all CRMs write the +, or set SMSGW_DEFAULT_REGION to the country of numbers without"
    )
    return Finding("numbers", "warning", f"{text}{others}", advice)


def _webhooks(session: Session) -> Iterator[Finding]:
    for endpoint in endpoints.everyone(session):
        finding = _webhook(endpoint)
        if finding is not None:
            yield finding


def _webhook(endpoint: WebhookEndpoint) -> Finding | None:
    if endpoint.enabled or endpoint.disabled_reason == endpoints.BY_HAND:
        return None
    return Finding(
        f"webhook {endpoint.id}",
        "wrong",
        f"was switched off: {endpoint.disabled_reason}",
        f"repair the receiver, then {program.line(f'webhook enable {endpoint.id}')} and webhook recover",
    )


def _quarantine(session: Session) -> Finding:
    count = session.scalar(sa.select(sa.func.count(QuarantinedItem.id))) or 0
    if count == 0:
        return Finding("quarantine", "ok", "empty")
    advice = f"see {program.line('quarantine list')}, then {program.line('quarantine clear')}"
    dropped = quarantine.dropped_count(session)
    text = f"{count} items no one could read"
    if dropped:
        text += f", and {dropped} older ones were dropped for them"
    return Finding("quarantine", "warning", text, advice)


def _open_transactions(session: Session, now: datetime) -> Iterator[Finding]:
    latest = now - TRANSACTIONS_END_WITHIN
    for found in open_transactions.everyone(session):
        # Another role's session may not show since when: then by how long an event has waited.
        began_at = found.began_at or feed.withheld_since(session)
        if began_at is not None and began_at <= latest:
            yield Finding(
                "open transaction",
                "wrong",
                f"{found.name} has been writing to this database for {_span(now - began_at)}, "
                "and the event feed and the live sockets wait for it",
                f"end the program that left it open, or in psql: {found.ending}",
            )


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong; warnings are no illness."""
    return all(finding.state != "wrong" for finding in findings)


def _span(span: timedelta) -> str:
    seconds = int(abs(span).total_seconds())
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"
