"""Fails queued messages that have more segments than any device they may go to is handed in an hour or a day.

They would wait until their time is over. What another device may be handed is left to it, and does not hold up the
messages behind it.
"""

from collections.abc import Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import reasons
from ...store.models import Crm, Message
from ..devices import lanes, limits, quotas, registry, routing
from ..devices import queue as device_queue
from ..devices.locking import Locked
from . import endings
from .history import HistoryWriter

# More segments than 1,600 units can make, in whatever script: nothing has to be asked for a limit above.
LARGEST_POSSIBLE = 64
_AT_ONCE = 20


def fail(session: Session, device: Locked, settings: Settings, history: HistoryWriter) -> None:
    """Fail what is due for the device and too large for all that it may go to, some at a time."""
    largest = limits.of(device, settings).largest_message
    if largest is None or largest >= LARGEST_POSSIBLE:
        return
    found = [
        message
        for message in _larger(session, device.id, largest, settings, history.now)
        if not _fits_any(session, message, settings)
    ]
    endings.fail_queued(session, found, reasons.OVERSIZED, reasons.LIMIT, history)


def _larger(
    session: Session, device_id: str, largest: int, settings: Settings, now: datetime
) -> Iterator[Message]:
    queues = quotas.read(session, device_id, settings, now).due_queues
    wanted = (
        sa.select(Message)
        .where(
            device_queue.IS_DUE,
            Message.lane.in_(queues),
            Message.segments > largest,
            routing.is_for_device(sa.literal(device_id)),
        )
        .order_by(Message.id)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    yield from session.scalars(wanted, {"now": now})


def _fits_any(session: Session, message: Message, settings: Settings) -> bool:
    crm = session.get_one(Crm, message.crm_id)
    device_id = lanes.find_device(message.lane)
    device_ids = routing.device_ids_of(session, crm) if device_id is None else [device_id]
    most = [
        limits.of(device, settings).largest_message
        for device in registry.several(session, device_ids)
    ]
    return any(largest is None or message.segments <= largest for largest in most)
