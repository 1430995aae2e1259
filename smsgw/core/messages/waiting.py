"""Explains what an unfinished message is waiting for, in a sentence a person can act on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from ...clock import rfc3339, rfc3339_or_none
from ...settings import Settings
from ...sms import statuses
from ...sms.statuses import ACTIVE
from ...store.models import Crm, Device, Dispatch, Message
from ..devices import lanes, limit_states, protocols, quotas, registry, routing, wording
from ..devices.limit_states import Hold

# How many devices are asked for their limits.
_MOST_LIMITED = 50
_DISABLED = (
    "The CRM is disabled on the server; what it has queued waits until an operator enables it."
)


def waiting_for(
    session: Session,
    message: Message,
    dispatches: Sequence[Dispatch],
    settings: Settings,
    now: datetime,
) -> dict[str, Any] | None:
    """Return `{"hop", "since", "device_id", "text"}`, or `None` when nothing more is to come.

    The hops are `held`, `paused`, `schedule`, `device`, `limit`, `confirmation`, `phone`, `radio`, `network` and
    `delivery_report`; with `limit` comes `until`.
    `dispatches` are all of the message's, oldest first.
    """
    if message.status == statuses.QUEUED:
        tried = [dispatch for dispatch in dispatches if _is_tried_again(dispatch)]
        return _earlier(tried[-1]) if tried else _queued(session, message, settings, now)
    current = [dispatch for dispatch in dispatches if dispatch.status == message.status]
    if not current or message.status not in _ON_THE_PHONE:
        return None
    return _ON_THE_PHONE[message.status](current[-1])


def _shape(hop: str, since: datetime | None, device_id: str | None, text: str) -> dict[str, Any]:
    return {"hop": hop, "since": rfc3339_or_none(since), "device_id": device_id, "text": text}


def _queued(
    session: Session, message: Message, settings: Settings, now: datetime
) -> dict[str, Any]:
    if lanes.is_held(message.lane):
        return _shape("held", message.updated_at, message.device_id, wording.HELD)
    if lanes.is_paused(message.lane):
        return _shape("paused", message.updated_at, message.device_id, wording.PAUSED)
    due_at = message.due_at or message.created_at
    if due_at > now:
        text = f"It is to be sent at {_time(due_at)}."
        return _shape("schedule", message.created_at, message.device_id, text)
    crm = session.get_one(Crm, message.crm_id)
    if not crm.enabled:
        return _shape("device", due_at, message.device_id, _DISABLED)
    candidates = _candidates(session, crm, message)
    if not candidates:
        return _shape("device", due_at, message.device_id, _no_device(message))
    limited = _limited(session, message, candidates, settings, now)
    if limited is not None:
        device, hold = limited
        text = f"The device {_named(device, len(candidates))} {hold.text}; it gets more at {_time(hold.until)}."
        return {**_shape("limit", due_at, device.id, text), "until": rfc3339(hold.until)}
    device = _likeliest(candidates)
    text = _why_not_yet(session, message, device, len(candidates), settings, now)
    if lanes.is_sticky(message.lane):
        text += " It is kept for the device that last talked with this number, as long as that one is online."
    return _shape("device", due_at, device.id, text)


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


def _is_tried_again(dispatch: Dispatch) -> bool:
    """Return what `capacity.is_tried_again` checks in the database."""
    return (
        dispatch.superseded_at is not None
        and dispatch.acknowledged_at is not None
        and dispatch.status in ACTIVE
        and dispatch.stuck_at is None
    )


def _earlier(dispatch: Dispatch) -> dict[str, Any]:
    text = (
        f"The phone {dispatch.device_id} is trying again to send it as it was handed it before; "
        "the resend waits for what comes of that."
    )
    return _shape("phone", dispatch.status_at, dispatch.device_id, text)


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


def _no_device(message: Message) -> str:
    if lanes.find_device(message.lane) is not None:
        return (
            f"The device {message.device_id} was removed from the server, or this CRM may not use it any more; "
            "cancel the message."
        )
    return "This CRM may use no device: an operator has to add one or to route one to it."


def _why_not_yet(
    session: Session,
    message: Message,
    device: Device,
    count: int,
    settings: Settings,
    now: datetime,
) -> str:
    name = _named(device, count)
    if not device.enabled:
        return f"The device {name} is disabled on the server; it gets nothing until an operator enables it."
    if device.last_seen_at is None:
        return f"The device {name} {wording.of(device).never}."
    if not registry.is_online(device, now, settings.device_offline_seconds):
        return f"The device {name} has been silent since {_time(device.last_seen_at)}."
    return _full(session, device, settings, now) or (
        f"The device {name} gets it {wording.how_it_gets_more(device)}; "
        f"it {wording.of(device).came} last at {_time(device.last_seen_at)}."
    )


def _named(device: Device, count: int) -> str:
    return device.id if count == 1 else f"{device.id}, the likeliest of {count} devices,"


def _full(session: Session, device: Device, settings: Settings, now: datetime) -> str | None:
    quota = quotas.read(session, device.id, settings, now)
    if quota.tries is not None and quota.places <= 0:
        return (
            f"The device {device.id} was paused after a failure ({device.pause_reason}) and has one message in hand to "
            "try again; it gets more once that is sent."
        )
    if quota.places <= 0:
        return (
            f"The device {device.id} has {quota.in_hand} messages in hand that it has not sent yet; "
            f"it gets no more than {settings.in_flight_per_device} at a time."
        )
    return None


def _confirmation(dispatch: Dispatch) -> dict[str, Any]:
    if dispatch.acknowledged_at is not None:
        text = (
            f"The phone {dispatch.device_id} has had it since {_time(dispatch.acknowledged_at)}, "
            "and what it said about it is not understood here; the history has its words."
        )
        return _shape("phone", dispatch.acknowledged_at, dispatch.device_id, text)
    if dispatch.in_doubt_since is not None:
        text = (
            f"The device {dispatch.device_id} was handed it at {_time(dispatch.last_handed_out_at)}, and its app was "
            f"set up or its secret changed at {_time(dispatch.in_doubt_since)}, before it had confirmed it. "
            "It is not handed out again: the phone confirms it in its next polls, or it fails as unconfirmed."
        )
        return _shape("confirmation", dispatch.in_doubt_since, dispatch.device_id, text)
    most = protocols.most_hand_outs(dispatch.protocol)
    text = (
        f"The device {dispatch.device_id} was handed it at {_time(dispatch.last_handed_out_at)} "
        f"(hand-out {dispatch.hand_out_count} of {most}) and has not confirmed it."
    )
    return _shape("confirmation", dispatch.handed_out_at, dispatch.device_id, text)


def _phone(dispatch: Dispatch) -> dict[str, Any]:
    if dispatch.retry_count:
        tries = "once" if dispatch.retry_count == 1 else f"{dispatch.retry_count} times"
        text = f"The phone {dispatch.device_id} has failed to send it {tries} and tries again by itself."
        return _shape("radio", dispatch.status_at, dispatch.device_id, text + _stuck(dispatch))
    text = f"The phone {dispatch.device_id} has had it since {_time(dispatch.status_at)} and has not begun to send it."
    return _shape("phone", dispatch.status_at, dispatch.device_id, text + _stuck(dispatch))


def _network(dispatch: Dispatch) -> dict[str, Any]:
    text = (
        f"The phone {dispatch.device_id} gave it to the mobile network at {_time(dispatch.status_at)} "
        "and has not told what came of it."
    )
    return _shape("network", dispatch.status_at, dispatch.device_id, text + _stuck(dispatch))


def _delivery_report(dispatch: Dispatch) -> dict[str, Any]:
    text = (
        f"The phone {dispatch.device_id} sent it at {_time(dispatch.status_at)}; "
        "the network has not reported that it arrived, and some never do."
    )
    return _shape("delivery_report", dispatch.status_at, dispatch.device_id, text)


def _stuck(dispatch: Dispatch) -> str:
    if dispatch.stuck_at is None:
        return ""
    return " That is longer than usual: look at the phone, or resend the message."


def _time(moment: datetime) -> str:
    return rfc3339(moment)[:19] + "Z"


_ON_THE_PHONE = {
    statuses.DISPATCHED: _confirmation,
    statuses.ACCEPTED: _phone,
    statuses.SENDING: _network,
    statuses.SENT: _delivery_report,
}
