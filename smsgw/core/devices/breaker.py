"""Pauses devices after failures, announces that as `device.limited`, and lets a person end a pause."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store import audit
from ...store.models import Device
from ...store.queries import Change
from ...store.tables import plain
from ..events import recording
from . import pauses, registry, routing
from .capacity import DEVICE_ID, moment
from .locking import Locked
from .pauses import Outcome, Pause

_SET = Change(
    sa.update(plain(Device))
    .where(Device.id == DEVICE_ID)
    .values(
        {
            Device.paused_until: moment("paused_until"),
            Device.pause_count: sa.bindparam("pause_count", type_=sa.Integer),
            Device.pause_reason: sa.bindparam("pause_reason", type_=sa.String),
            Device.failed_in_a_row: sa.bindparam("failed_in_a_row", type_=sa.Integer),
        }
    )
)


def note(
    session: Session,
    device: Locked,
    outcomes: Sequence[Outcome],
    settings: Settings,
    now: datetime,
) -> None:
    """Apply the outcomes that a device reported, in its order; the device must be locked.

    `device.limited` is announced when a pause begins, not when a longer one follows it.
    """
    before = pause = Pause(
        device.paused_until, device.pause_count, device.pause_reason, device.failed_in_a_row
    )
    steps = []
    for outcome in outcomes:
        pause = pauses.after(pause, outcome, now)
        steps.append(pause)
    if pause == before:
        return
    _write(session, device.id, pause)
    if pause.pause_count and pauses.has_begun(before, steps):
        _announce(session, device.id, settings, now)


def resume(session: Session, device: Device) -> None:
    """End a pause of the device."""
    _write(session, device.id, Pause())
    audit.note(session, "device", device.id, "resume", device.id)
    session.refresh(device)


def _write(session: Session, device_id: str, pause: Pause) -> None:
    _SET.run(
        session,
        device_id=device_id,
        paused_until=pause.paused_until,
        pause_count=pause.pause_count,
        pause_reason=pause.pause_reason,
        failed_in_a_row=pause.failed_in_a_row,
    )


def _announce(session: Session, device_id: str, settings: Settings, now: datetime) -> None:
    device = session.get_one(Device, device_id, populate_existing=True)
    (shape,) = registry.shapes(session, [device], settings, now)
    events = [
        recording.NewEvent("device.limited", crm_id, shape, device_id=device_id)
        for crm_id in routing.ids_for_device(session, device_id)
    ]
    recording.record(session, events, now)
