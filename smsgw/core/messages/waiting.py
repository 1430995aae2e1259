"""Explains what an unfinished message is waiting for, in a sentence, and what to do about it."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import statuses
from ...sms.statuses import ACTIVE
from ...store.models import Device, Dispatch, Message
from ..devices import advice, protocols, registry
from ..devices.advice import Advice
from . import hops, next_steps, waiting_in_queue
from .hops import Hop

_REMOVED = Advice("nothing: no report comes from a phone that was removed")
_RADIO = Advice(
    "has the phone reception and credit, and is its flight mode off? It tries for hours"
)
_NETWORK = Advice(
    "nothing: most answers come within a minute. Do not restart the phone, which would lose it"
)
_REPORT = Advice("nothing; if it matters, ask whether it arrived")


def find(
    session: Session,
    message: Message,
    dispatches: Sequence[Dispatch],
    settings: Settings,
    now: datetime,
) -> Hop | None:
    """Return what the message waits for, `None` when nothing more is to come.

    `dispatches` are all of the message's, oldest first.
    """
    if message.status == statuses.QUEUED:
        tried = [dispatch for dispatch in dispatches if _is_tried_again(dispatch)]
        if not tried:
            return waiting_in_queue.find(session, message, settings, now)
        return _with_phone(session, tried[-1], _earlier, settings, now)
    current = [dispatch for dispatch in dispatches if dispatch.status == message.status]
    if not current or message.status not in _ON_THE_PHONE:
        return None
    return _with_phone(session, current[-1], _ON_THE_PHONE[message.status], settings, now)


def _is_tried_again(dispatch: Dispatch) -> bool:
    """Return what `capacity.is_tried_again` checks in the database."""
    return (
        dispatch.superseded_at is not None
        and dispatch.acknowledged_at is not None
        and dispatch.status in ACTIVE
        and dispatch.stuck_at is None
    )


def _with_phone(
    session: Session,
    dispatch: Dispatch,
    explain: Callable[[Dispatch, Device], Hop],
    settings: Settings,
    now: datetime,
) -> Hop:
    """Return where the message is, and first of all that its phone is refused or silent, where it is."""
    device = session.get_one(Device, dispatch.device_id)
    found = explain(dispatch, device)
    if device.removed_at is not None:
        return found._replace(text=f"{found.text} The phone was removed.", advice=_REMOVED)
    if not device.enabled:
        text = f"{found.text} The phone is disabled on the server, so it cannot report anything."
        return found._replace(text=text, advice=advice.disabled(device))
    if registry.is_online(device, now, settings.device_offline_seconds):
        return found
    seen = "" if device.last_seen_at is None else f" since {hops.time(device.last_seen_at)}"
    return found._replace(
        text=f"{found.text} The phone has been silent{seen}.", advice=advice.ABSENT
    )


def _earlier(dispatch: Dispatch, device: Device) -> Hop:
    text = (
        f"The phone {dispatch.device_id} is trying again to send it as it was handed it before; "
        "the resend waits for what comes of that."
    )
    return _at(
        hops.PHONE, dispatch, dispatch.status_at, text, next_steps.soon(advice.in_hand(device))
    )


def _confirmation(dispatch: Dispatch, device: Device) -> Hop:
    if dispatch.acknowledged_at is not None:
        text = (
            f"The phone {dispatch.device_id} has had it since {hops.time(dispatch.acknowledged_at)}, "
            "and what it said about it is not understood here; the history has its words."
        )
        step = next_steps.soon(advice.in_hand(device))
        return _at(hops.PHONE, dispatch, dispatch.acknowledged_at, text, step)
    handed = (
        f"The phone {dispatch.device_id} was handed it at {hops.time(dispatch.last_handed_out_at)}"
    )
    if dispatch.in_doubt_since is not None:
        text = (
            f"{handed}, and its app was set up or its secret changed at {hops.time(dispatch.in_doubt_since)}, "
            "before it had confirmed it. It is not handed out again: the phone confirms it in its next polls, "
            "or it fails as unconfirmed."
        )
        since = dispatch.in_doubt_since
        return _at(hops.CONFIRMATION, dispatch, since, text, next_steps.next_poll())
    most = protocols.most_hand_outs(dispatch.protocol)
    text = f"{handed} (hand-out {dispatch.hand_out_count} of {most}) and has not confirmed it."
    step = next_steps.soon(advice.in_hand(device))
    return _at(hops.CONFIRMATION, dispatch, dispatch.handed_out_at, text, step)


def _phone(dispatch: Dispatch, device: Device) -> Hop:
    if dispatch.retry_count:
        tries = "once" if dispatch.retry_count == 1 else f"{dispatch.retry_count} times"
        text = f"The phone {dispatch.device_id} has failed to send it {tries} and tries again by itself."
        return _at(hops.RADIO, dispatch, dispatch.status_at, text, _RADIO)
    text = (
        f"The phone {dispatch.device_id} has had it since {hops.time(dispatch.status_at)} "
        "and has not begun to send it."
    )
    return _at(
        hops.PHONE, dispatch, dispatch.status_at, text, next_steps.soon(advice.in_hand(device))
    )


def _network(dispatch: Dispatch, _device: Device) -> Hop:
    text = (
        f"The phone {dispatch.device_id} gave it to the mobile network at {hops.time(dispatch.status_at)} "
        "and has not told what came of it."
    )
    return _at(hops.NETWORK, dispatch, dispatch.status_at, text, _NETWORK)


def _delivery_report(dispatch: Dispatch, _device: Device) -> Hop:
    text = (
        f"The phone {dispatch.device_id} sent it at {hops.time(dispatch.status_at)}; "
        "the network has not reported that it arrived, and some never do."
    )
    return _at(hops.DELIVERY_REPORT, dispatch, dispatch.status_at, text, _REPORT)


def _at(hop: str, dispatch: Dispatch, since: datetime, text: str, step: Advice) -> Hop:
    if dispatch.stuck_at is not None:
        text = f"{text} That is longer than usual."
        step = next_steps.stuck(dispatch.message_id)
    return Hop(hop, since, dispatch.device_id, text, step)


_ON_THE_PHONE = {
    statuses.DISPATCHED: _confirmation,
    statuses.ACCEPTED: _phone,
    statuses.SENDING: _network,
    statuses.SENT: _delivery_report,
}
