"""Decides which socket of a device gets its messages, and which of many devices may have some waiting.

Only the newest socket of a device counts, whichever process holds it. The device's row has its id, which is checked
under the row's lock whenever messages are handed out.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...store.models import Crm, Device, Message
from . import lanes, locking, routing
from . import queue as device_queue
from .logins import Login

# Of the devices that may take the same message, so many are asked at a time.
MOST_ASKED = 50


@dataclass(frozen=True)
class SocketRow:
    """The columns of a device's row that concern its sockets."""

    socket_id: str | None
    secret_hash: str
    enabled: bool
    last_seen_at: datetime | None


_ROWS = sa.select(
    Device.id,
    Device.socket_id,
    Device.secret_hash,
    routing.is_admitted(),
    Device.last_seen_at,
).where(Device.removed_at.is_(None), Device.approved)


def new_id() -> str:
    """Return a new id for a socket."""
    return ids.new_dispatch_id()


def claim(session: Session, login: Login, protocol: str, socket_id: str, now: datetime) -> None:
    """Make this socket the device's only one; the device is locked until the commit. Raises what `admit` raises."""
    locking.admit(session, login, protocol)
    session.execute(
        sa.update(Device)
        .where(Device.id == login.device_id)
        .values(socket_id=socket_id, last_seen_at=now)
    )


def release(session: Session, device_id: str, socket_id: str) -> None:
    """Note that the device has no socket any more, unless a newer one took its place."""
    session.execute(
        sa.update(Device)
        .where(Device.id == device_id, Device.socket_id == socket_id)
        .values(socket_id=None)
    )


def find(session: Session, device_id: str) -> SocketRow | None:
    """Return the row of one device, `None` when it was removed or is not approved."""
    row = session.execute(_ROWS.where(Device.id == device_id)).one_or_none()
    return SocketRow(*row[1:]) if row else None


def find_all(session: Session) -> dict[str, SocketRow]:
    """Return the rows of all devices with a socket, by the devices' names."""
    found = session.execute(_ROWS.where(Device.socket_id.is_not(None)))
    return {row[0]: SocketRow(*row[1:]) for row in found}


def waiting(session: Session, device_ids: Collection[str], now: datetime) -> set[str]:
    """Return those of the devices for which there may be messages, with two or three queries by index."""
    wanted = set(device_ids)
    found: set[str] = set()
    for lane in _due_lanes(session, now):
        if lanes.is_held(lane) or lanes.is_paused(lane):
            continue
        device_id = lanes.find_device(lane) or lanes.find_sticky_device(lane)
        if device_id is None:
            found |= _some_of_crm(session, session.get_one(Crm, lanes.crm_of(lane)), wanted)
        else:
            found |= {device_id} & wanted
    return found


def _some_of_crm(session: Session, crm: Crm, wanted: set[str]) -> set[str]:
    """Return at random up to `MOST_ASKED` of these devices, of those that the CRM may use."""
    if not crm.enabled:
        return set()
    usable = sorted(wanted.intersection(routing.device_ids_of(session, crm)))
    return set(random.sample(usable, min(MOST_ASKED, len(usable))))


def _due_lanes(session: Session, now: datetime) -> list[str]:
    """Return the lanes with something due, by stepping from lane to lane: a long queue costs no more."""
    first = sa.select(sa.func.min(Message.lane).label("lane")).where(device_queue.IS_QUEUED)
    steps = first.cte("lanes", recursive=True)
    following = (
        sa.select(sa.func.min(Message.lane))
        .where(device_queue.IS_QUEUED, Message.lane > steps.c.lane)
        .correlate(steps)
        .scalar_subquery()
    )
    steps = steps.union_all(sa.select(following).where(steps.c.lane.is_not(None)))
    is_due = sa.exists().where(device_queue.IS_DUE, Message.lane == steps.c.lane)
    due = sa.select(steps.c.lane).where(steps.c.lane.is_not(None), is_due)
    return [str(lane) for lane in session.scalars(due, {"now": now})]
