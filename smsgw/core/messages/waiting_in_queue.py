"""Explains what a queued message is waiting for: an operator, its time, a phone, or the limits of its phones."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from ...clock import rfc3339_or_none
from ...settings import Settings
from ...store.models import Crm, Device, Message
from ..devices import (
    advice,
    lanes,
    limit_states,
    limits,
    pauses,
    quotas,
    registry,
    routing,
    wording,
)
from ..devices.advice import Advice
from ..devices.limit_states import Hold
from . import hops, next_steps
from .hops import Hop

# How many devices are asked for their limits.
_MOST_LIMITED = 50
_HELD = (
    "It is held since a backup was restored or a copied database reopened, because it may have been sent since, "
    "until an operator releases or cancels it."
)
_PAUSED = "It is paused with the other messages that were queued with it, and no phone gets it until they are resumed."
_DISABLED = (
    "The CRM is disabled on the server; what it has queued waits until an operator enables it."
)
_NO_DEVICE = "This CRM may use no device: an operator has to add one or to route one to it."


def find(session: Session, message: Message, settings: Settings, now: datetime) -> Hop:
    """Return what the message waits for, which is queued and which no phone has."""
    due_at = message.due_at or message.created_at
    if lanes.is_held(message.lane):
        step = next_steps.held(message.id)
        return Hop(hops.HELD, message.updated_at, message.device_id, _HELD, step)
    if lanes.is_paused(message.lane):
        step = next_steps.paused()
        return Hop(hops.PAUSED, message.updated_at, message.device_id, _PAUSED, step)
    if due_at > now:
        text = f"It is to be sent at {hops.time(due_at)}."
        step = next_steps.scheduled(message.id)
        return Hop(hops.SCHEDULE, message.created_at, message.device_id, text, step)
    return _for_device(session, message, settings, due_at, now)


def _for_device(
    session: Session, message: Message, settings: Settings, due_at: datetime, now: datetime
) -> Hop:
    crm = session.get_one(Crm, message.crm_id)
    if not crm.enabled:
        step = next_steps.enable_crm(crm)
        return Hop(hops.DEVICE, due_at, message.device_id, _DISABLED, step)
    candidates = _candidates(session, crm, message)
    if not candidates:
        return _no_device(crm, message, due_at)
    limited = _limited(session, message, candidates, settings, now)
    if limited is not None:
        device, hold = limited
        text = f"The phone {_named(device, len(candidates))} {hold.text}; it gets more at {hops.time(hold.until)}."
        step = _of_hold(device, hold, now)
        return Hop(hops.LIMIT, due_at, device.id, text, step, hold.until)
    device = _likeliest(candidates)
    text, step = _why_not_yet(session, device, len(candidates), settings, now)
    if lanes.is_sticky(message.lane):
        text += " It is kept for the phone that last talked with this number, as long as that one is online."
    return Hop(hops.DEVICE, due_at, device.id, text, step)


def _limited(
    session: Session,
    message: Message,
    candidates: Sequence[Device],
    settings: Settings,
    now: datetime,
) -> tuple[Device, Hold] | None:
    """Return the device that may have it first, and when, where limits keep it from all that are online."""
    online = [
        device
        for device in candidates
        if device.enabled and registry.is_online(device, now, settings.device_offline_seconds)
    ]
    found = []
    for device in online[:_MOST_LIMITED]:
        hold = limit_states.find_hold(session, device, settings, now, message)
        if hold is None:
            return None
        found.append((device, hold))
    return min(found, key=lambda pair: pair[1].until, default=None)


def _of_hold(device: Device, hold: Hold, now: datetime) -> Advice:
    if pauses.is_paused(device.paused_until, now):
        return advice.paused(device)
    if hold.until <= now + limits.WINDOWS["segments_per_minute"]:
        return next_steps.next_poll()
    return advice.limited(device)


def _candidates(session: Session, crm: Crm, message: Message) -> list[Device]:
    """Return the devices the message may go to, disabled ones too."""
    device_id = lanes.find_device(message.lane)
    if device_id is not None:
        return registry.several(session, list(routing.usable(session, crm, {device_id})))
    found = registry.several(session, routing.device_ids_of(session, crm))
    sticky_id = lanes.find_sticky_device(message.lane)
    return [device for device in found if device.id == sticky_id] or found


def _likeliest(candidates: Sequence[Device]) -> Device:
    """Return the device that was seen last, an enabled one if there is any."""
    return max(
        candidates,
        key=lambda device: (device.enabled, rfc3339_or_none(device.last_seen_at) or ""),
    )


def _no_device(crm: Crm, message: Message, due_at: datetime) -> Hop:
    if lanes.find_device(message.lane) is None:
        step = next_steps.route_phone(crm)
        return Hop(hops.DEVICE, due_at, message.device_id, _NO_DEVICE, step)
    text = (
        f"The phone {message.device_id} was removed from the server, or this CRM may not use it any more; "
        "cancel the message."
    )
    step = next_steps.route_again(crm, message)
    return Hop(hops.DEVICE, due_at, message.device_id, text, step)


def _why_not_yet(
    session: Session, device: Device, count: int, settings: Settings, now: datetime
) -> tuple[str, Advice]:
    phone = f"The phone {_named(device, count)}"
    if not device.enabled:
        text = f"{phone} is disabled on the server; it gets nothing until an operator enables it."
        return text, advice.disabled(device)
    if device.last_seen_at is None:
        return f"{phone} {wording.of(device).never}.", advice.never_seen(device)
    if not registry.is_online(device, now, settings.device_offline_seconds):
        return f"{phone} has been silent since {hops.time(device.last_seen_at)}.", advice.ABSENT
    return _full(session, device, settings, now) or (
        f"{phone} gets it {wording.how_it_gets_more(device)}; "
        f"it {wording.of(device).came} last at {hops.time(device.last_seen_at)}.",
        next_steps.next_poll(),
    )


def _named(device: Device, count: int) -> str:
    return device.id if count == 1 else f"{device.id}, the likeliest of {count} phones,"


def _full(
    session: Session, device: Device, settings: Settings, now: datetime
) -> tuple[str, Advice] | None:
    quota = quotas.read(session, device.id, settings, now)
    if quota.tries is not None and quota.places <= 0:
        text = (
            f"The phone {device.id} was paused after a failure ({device.pause_reason}) and has one message in hand to "
            "try again; it gets more once that is sent."
        )
        return text, advice.paused(device)
    if quota.places <= 0:
        text = (
            f"The phone {device.id} has {quota.in_hand} messages in hand that it has not sent yet; "
            f"it gets no more than {settings.in_flight_per_device} at a time."
        )
        return text, next_steps.soon(advice.in_hand(device))
    return None
