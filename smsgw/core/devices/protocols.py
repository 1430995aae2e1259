"""Defines how the protocols differ: how often and for how long a message is handed out, and when a device is offline.

Sources: cht-gateway sends a message with a known id only once. The apps with a socket do not check the id and would
send it twice, so they are handed a message once, over a connection that has just answered a ping. MySMSAPio's document
calls a device offline after two minutes. A device of the CRM WebSocket API is online as long as its socket, which is
pinged every 25 seconds; because mobile connections flap, it is offline only five seconds after its socket closed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ...settings import Settings
from ...store.models import Device, Dispatch

CHT = "cht"
MYSMSAPIO = "mysmsapio"
SOCKET = "socket"


@dataclass(frozen=True)
class Terms:
    """A protocol's numbers; `None` for the setting's. `apart_seconds` is for a device without a socket."""

    most_hand_outs: int
    lease_seconds: int | None
    offline_seconds: int | None
    apart_seconds: int | None = None


TERMS = {
    CHT: Terms(most_hand_outs=5, lease_seconds=None, offline_seconds=None),
    MYSMSAPIO: Terms(most_hand_outs=1, lease_seconds=300, offline_seconds=120),
    SOCKET: Terms(most_hand_outs=1, lease_seconds=300, offline_seconds=90, apart_seconds=5),
}


def most_hand_outs(protocol: str) -> int:
    """Return how often a dispatch may be handed out, the first time included."""
    return TERMS[protocol].most_hand_outs


def lease(protocol: str, settings: Settings) -> timedelta:
    """Return how long a device has to confirm what it was handed."""
    seconds = TERMS[protocol].lease_seconds
    return timedelta(seconds=settings.lease_seconds if seconds is None else seconds)


def has_hand_outs_left() -> sa.ColumnElement[bool]:
    """Return the condition on `Dispatch` that it may be handed out once more."""
    most = {name: terms.most_hand_outs for name, terms in TERMS.items()}
    return Dispatch.hand_out_count < sa.case(most, value=Dispatch.protocol)


def is_of_devices_protocol() -> sa.ColumnElement[bool]:
    """Return the condition on `Dispatch` that its device still speaks the protocol it was handed out by."""
    return Dispatch.protocol == of_device()


def of_device() -> sa.ScalarSelect[str]:
    """Return the protocol that the device of a `Dispatch` speaks now."""
    now_spoken = sa.select(Device.protocol).where(Device.id == Dispatch.device_id)
    return now_spoken.correlate(Dispatch).scalar_subquery()


def offline_seconds(protocol: str, setting: int, has_socket: bool) -> int:
    """Return after how many seconds of silence a device counts as offline."""
    terms = TERMS[protocol]
    if terms.apart_seconds is not None and not has_socket:
        return terms.apart_seconds
    return setting if terms.offline_seconds is None else terms.offline_seconds


def is_silent() -> sa.ColumnElement[bool]:
    """Return the condition on `Device` that it counts as offline. Takes the values of `silence_limits`."""
    has_no_socket = Device.socket_id.is_(None)
    limit = sa.case((has_no_socket, _limit(False)), else_=_limit(True))
    return sa.or_(Device.last_seen_at.is_(None), Device.last_seen_at <= limit)


def silence_limits(now: datetime, setting: int) -> dict[str, datetime]:
    """Return since when a device must have been silent to be offline; `setting` is `device_offline_seconds`."""
    return {
        _limit_name(name, has_socket): now
        - timedelta(seconds=offline_seconds(name, setting, has_socket))
        for name in TERMS
        for has_socket in (False, True)
    }


def _limit(has_socket: bool) -> sa.Case[datetime]:
    limits: dict[str, Any] = {
        name: sa.bindparam(_limit_name(name, has_socket), type_=Device.last_seen_at.type)
        for name in TERMS
    }
    return sa.case(limits, value=Device.protocol)


def _limit_name(protocol: str, has_socket: bool) -> str:
    return f"{protocol}_{'with' if has_socket else 'without'}_socket"
