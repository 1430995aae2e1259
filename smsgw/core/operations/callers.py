"""Lists what an operator should check about devices, and CRMs that wait for approval."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import program
from ...settings import Settings
from ...store.models import Crm, Device, DeviceSilence
from ..devices import (
    advice,
    capacity,
    limit_states,
    limits,
    pauses,
    protocols,
    registry,
    silence_rules,
    silences,
    wording,
)
from ..devices.advice import Advice
from ..devices.capacity import Load
from ..devices.limit_states import Hold
from . import spans
from .finding import Finding

OLDEST_GOOD_APP = (1, 8)
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
# Disabled, removed, or waiting for approval.
_REFUSED_CRMS = sa.select(Crm).where(sa.or_(~Crm.enabled, ~Crm.approved)).order_by(Crm.id)
# From so many on it is no chance that all are silent at once.
_SEVERAL = 2


def findings(
    session: Session, settings: Settings, now: datetime, devices: Sequence[Device]
) -> list[Finding]:
    """Return findings about each device, and about CRMs that wait for approval."""
    refused = session.scalars(_REFUSED_CRMS).all()
    stopped = {crm.id for crm in refused if not crm.enabled}
    return [*_devices(session, devices, stopped, settings, now), *_crms(refused, now)]


def _devices(
    session: Session,
    found: Sequence[Device],
    stopped_crm_ids: set[str],
    settings: Settings,
    now: datetime,
) -> Iterator[Finding]:
    if not found:
        add = program.line("device add NAME")
        yield Finding("devices", "wrong", "there is none", add, "add the first phone")
    yield from _all_absent(found, stopped_crm_ids, settings, now)
    loads = capacity.loads(session, now)
    silent = silences.of_devices(session, [device.id for device in found])
    holds = limit_states.find_long_holds(session, found, settings, now)
    for device, hold in zip(found, holds, strict=True):
        if not device.approved:
            yield _waiting(f"device {device.id}", "device", device.id, device.created_at, now)
            continue
        presence = _presence(device, device.owner_crm_id in stopped_crm_ids, settings, now)
        yield presence
        # While it does not come, nothing that it has can move here.
        load = loads.get(device.id) if presence.state == "ok" else None
        blocked = [*_in_hand(device, load, settings, now)]
        yield from _silent(device, silent.get(device.id, []), blocked)
        yield from _limited(device, hold, now)
        if _has_old_app(device):
            yield Finding(
                f"device {device.id}",
                "wrong",
                f"runs cht-gateway {device.app_version}, which loses track of what it sent",
                "install version 1.8 or newer",
            )


def _silent(
    device: Device, found: list[DeviceSilence], blocked: list[Finding]
) -> Iterator[Finding]:
    """Yield what the phone no longer does, and what is wrong with the messages it has: the worse one of the two."""
    is_mute = any(one.reason == silence_rules.NOT_SENDING for one in found)
    is_full = any(finding.state == "wrong" for finding in blocked)
    if is_full or not is_mute:
        yield from blocked
    for silence in found:
        if is_full and silence.reason == silence_rules.NOT_SENDING:
            continue
        text, look = silences.in_words(silence.reason, silence.since)
        step = Advice(look)
        if silence.reason == silence_rules.NOT_SENDING:
            step = advice.forgotten(device, look)
        yield Finding(f"device {device.id}", "wrong", text, *step)


def _in_hand(
    device: Device, load: Load | None, settings: Settings, now: datetime
) -> Iterator[Finding]:
    """Yield a finding about messages whose status does not change: the phone may have forgotten them."""
    if load is None:
        return
    check = f"device {device.id}"
    is_full = load.in_hand >= settings.in_flight_per_device
    if is_full and load.moved_at <= now - silence_rules.UNMOVED_AFTER:
        text = (
            f"has had {load.in_hand} messages in hand since {spans.since(load.moved_at, now)}, "
            "and gets no more until they move"
        )
        yield Finding(check, "wrong", text, *advice.in_hand(device))
    elif load.idle_count:
        hours = capacity.IDLE_AFTER // timedelta(hours=1)
        text = (
            f"has had {load.idle_count} of its {load.in_hand} messages in hand for more than {hours} hours "
            "and has not tried to send them"
        )
        yield Finding(check, "warning", text, *advice.in_hand(device))


def _limited(device: Device, hold: Hold | None, now: datetime) -> Iterator[Finding]:
    """Yield a pause after failures, or a limit that keeps messages from a phone for longer than a minute."""
    check = f"device {device.id}"
    if device.pause_count:
        if pauses.is_paused(device.paused_until, now):
            text = f"is paused until {device.paused_until:%Y-%m-%d %H:%M} UTC"
        else:
            text = "was paused and is given one message at a time until one is sent"
        text = f"{text}: a message failed with {device.pause_reason!r}"
        yield Finding(check, "wrong", text, *advice.paused(device))
        return
    if hold is not None and hold.until > now + limits.WINDOWS["segments_per_minute"]:
        text = f"{hold.text}, and gets more at {hold.until:%Y-%m-%d %H:%M} UTC"
        yield Finding(check, "warning", text, *advice.limited(device))


def _crms(refused: Sequence[Crm], now: datetime) -> Iterator[Finding]:
    for crm in refused:
        if not crm.approved and crm.removed_at is None:
            yield _waiting(f"crm {crm.name}", "crm", crm.id, crm.created_at, now)


def _waiting(check: str, kind: str, name: str, since: datetime, now: datetime) -> Finding:
    choice = f"{program.line(f'{kind} approve {name}')}, or {program.line(f'{kind} remove {name}')}"
    text = f"registered itself at {spans.since(since, now)}, and waits for approval"
    return Finding(check, "warning", text, choice, "approve it if you know it, or remove it")


def _has_old_app(device: Device) -> bool:
    """Return whether the app is too old. Only cht-gateway's versions mean anything here; other apps count their own."""
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
        return Finding(check, "wrong", words.never, *advice.never_seen(device))
    if registry.is_online(device, now, settings.device_offline_seconds):
        return Finding(check, "ok", f"{words.came} {spans.text(now - device.last_seen_at)} ago")
    text = f"{words.came} last at {spans.since(device.last_seen_at, now)}"
    return Finding(check, "wrong", text, *advice.ABSENT)


def _all_absent(
    devices: Sequence[Device], stopped_crm_ids: set[str], settings: Settings, now: datetime
) -> Iterator[Finding]:
    """Yield a finding if no phone of several comes any more: that is rather this server or its network."""
    known = [
        device
        for device in devices
        if device.enabled
        and device.approved
        and device.last_seen_at
        and device.owner_crm_id not in stopped_crm_ids
    ]
    seconds = settings.device_offline_seconds
    if len(known) < _SEVERAL or any(registry.is_online(one, now, seconds) for one in known):
        return
    last = max(device.last_seen_at for device in known if device.last_seen_at)
    yield Finding(
        "devices",
        "wrong",
        f"none of {len(known)} phones has come since {spans.since(last, now)}: all at once, so it is more likely "
        "this server, its network, name or certificate than the phones",
        f"open {settings.base_url}/healthz in a phone's browser, without Wi-Fi: only where it shows 'ok', the phones "
        "reach this server, and it is their network",
    )
