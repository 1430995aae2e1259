"""Registers devices for CRMs and strangers, approves them, and assigns them to another owner."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict, Forbidden, Unauthorized
from ...settings import Settings
from ...store.models import Crm, Device, Message
from ..devices import lanes, pairing, protocols, registry, routing
from ..devices import queue as device_queue
from ..messages import endings
from . import enrolment, routes

MOST_WAITING = 100


def add_for_crm(
    session: Session,
    crm_id: str,
    device_id: str,
    phone: str | None,
    settings: Settings,
    now: datetime,
) -> tuple[Device, str]:
    """Add a device for this CRM alone, and return it with its key; at most `devices_per_crm`."""
    _lock_enabled(session, crm_id)
    owned = _count(session, Device.owner_crm_id == crm_id)
    if owned >= settings.devices_per_crm:
        text = f"the CRM has {owned} devices, and SMSGW_DEVICES_PER_CRM allows no more"
        raise Conflict(text, code="too_many_devices")
    return enrolment.add_new(
        session,
        device_id,
        phone,
        settings.default_region,
        now,
        owner_crm_id=crm_id,
        approved=True,
    )


def add_waiting(
    session: Session, device_id: str, phone: str | None, region: str | None, now: datetime
) -> tuple[Device, str]:
    """Add a device for a caller without a key, and return it with its key; it is refused until it is approved."""
    pairing.PHONES.lock(session)
    if _count(session, ~Device.approved) >= MOST_WAITING:
        text = f"{MOST_WAITING} devices wait for an operator's approval already"
        raise Forbidden(text, code="too_many_waiting")
    return enrolment.add_new(
        session, device_id, phone, region, now, owner_crm_id=None, approved=False
    )


def approve(session: Session, device: Device) -> None:
    """Approve a device that registered itself; others stay as they are.

    A device of the CRM WebSocket API is also mapped to the only CRM, if there is just one.
    """
    if device.approved:
        return
    device.approved = True
    session.flush()
    map_to_only_crm(session, device)


def map_to_only_crm(session: Session, device: Device) -> None:
    """Let the only approved CRM, if there is just one, use a device of the CRM WebSocket API."""
    crm = routes.find_only_crm(session) if device.protocol == protocols.SOCKET else None
    if crm is not None:
        routes.put(session, crm, device)


def assign(session: Session, device: Device, crm: Crm | None, now: datetime) -> None:
    """Give the device to this CRM alone, or with `None` to the operators; routes to other CRMs stay.

    The previous owner keeps no route to it. Messages that CRMs have queued for it are cancelled if they may no longer
    use it. Its secret stays.
    """
    owner_id = None if crm is None else crm.id
    if device.owner_crm_id != owner_id:
        routes.drop(session, device, {device.owner_crm_id, owner_id})
    device.owner_crm_id = owner_id
    device.approved = True
    session.flush()
    queued = sa.select(Message.crm_id).where(
        device_queue.IS_QUEUED, Message.lane.in_(lanes.of_device(device.id))
    )
    senders = session.scalars(sa.select(Crm).where(Crm.id.in_(queued)).order_by(Crm.id))
    for sender in senders.all():
        if not routing.may_use(session, sender, device.id):
            endings.cancel_queued(
                session, sender, now, Message.lane.in_(lanes.of_device(device.id))
            )


def of_crm(session: Session, crm_id: str) -> list[Device]:
    """Return the devices that belong to the CRM and were not removed, by name."""
    is_its = sa.and_(Device.owner_crm_id == crm_id, Device.removed_at.is_(None))
    return list(session.scalars(sa.select(Device).where(is_its).order_by(Device.id)))


def waiting(session: Session) -> list[Device]:
    """Return the devices that registered themselves and wait for an operator, by name."""
    is_waiting = sa.and_(~Device.approved, Device.removed_at.is_(None))
    return list(session.scalars(sa.select(Device).where(is_waiting).order_by(Device.id)))


def shapes(
    session: Session, rows: list[Device], settings: Settings, now: datetime
) -> list[dict[str, Any]]:
    """Return the devices as operators see them: with the owner, `None` for the operators', and the approval."""
    owner_ids = {row.owner_crm_id for row in rows} - {None}
    owners = session.scalars(sa.select(Crm).where(Crm.id.in_(owner_ids))) if owner_ids else ()
    names: dict[str | None, str] = {owner.id: owner.name for owner in owners}
    return [
        {
            **shape,
            "crm_id": row.owner_crm_id,
            "crm": names.get(row.owner_crm_id),
            "approved": row.approved,
        }
        for row, shape in zip(rows, registry.shapes(session, rows, settings, now), strict=True)
    ]


def _lock_enabled(session: Session, crm_id: str) -> None:
    """Lock the CRM's row until the commit, so that simultaneous additions keep to its limit and see its removal."""
    crm = session.get_one(Crm, crm_id, with_for_update={"key_share": True}, populate_existing=True)
    if not crm.enabled or crm.removed_at is not None:
        raise Unauthorized("this API key is not valid any more")


def _count(session: Session, condition: sa.ColumnElement[bool]) -> int:
    counted = sa.select(sa.func.count()).select_from(Device)
    return session.scalar(counted.where(condition, Device.removed_at.is_(None))) or 0
