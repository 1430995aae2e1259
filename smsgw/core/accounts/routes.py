"""Adds and removes routes: which devices a CRM may use besides its own."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict
from ...store import audit
from ...store.inserts import InsertNew
from ...store.models import Crm, CrmDevice, Device, Message
from ...store.rows import AnyCrm
from ..devices import lanes
from ..messages import endings


class _Route(NamedTuple):
    crm_id: str
    device_id: str


_NEW_ROUTES = InsertNew(
    CrmDevice,
    _Route,
    conflict_on=[CrmDevice.crm_id, CrmDevice.device_id],
    returning=CrmDevice.device_id,
)


def lock(session: Session, crm: Crm) -> None:
    """Lock the CRM's row until the commit, because two lists that are set at the same time would be mixed."""
    session.refresh(crm, with_for_update={"key_share": True})


def put(session: Session, crm: AnyCrm, device: Device) -> None:
    """Let the CRM use the device, if it may not already."""
    is_operators = device.owner_crm_id is None
    if device.owner_crm_id != crm.id and not (crm.uses_all_devices and is_operators):
        put_all(session, crm.id, [device.id])


def put_all(session: Session, crm_id: str, device_ids: Sequence[str]) -> None:
    """Add the routes of these devices to the CRM that are not there yet."""
    new = _NEW_ROUTES.new(session, [_Route(crm_id, device_id) for device_id in device_ids])
    audit.routed(session, crm_id, added=new)


def drop_all(session: Session, condition: sa.ColumnElement[bool]) -> None:
    """Remove all routes that meet the condition."""
    statement = sa.delete(CrmDevice).where(condition)
    for crm_id, device_id in session.execute(
        statement.returning(CrmDevice.crm_id, CrmDevice.device_id)
    ).all():
        audit.routed(session, crm_id, removed=[device_id])


def drop(session: Session, device: Device, crm_ids: Collection[str | None]) -> None:
    """Remove the routes of the device to these CRMs: an owner needs none, a previous owner keeps none."""
    is_theirs = sa.and_(CrmDevice.device_id == device.id, CrmDevice.crm_id.in_(crm_ids))
    drop_all(session, is_theirs)


def remove(session: Session, crm: Crm, device: Device, now: datetime) -> None:
    """Remove the route to the device, and cancel the messages that the CRM has queued for it.

    Raises `Conflict` for a CRM's own device, and for a device of the operators if the CRM may use all of these.
    """
    if device.owner_crm_id == crm.id:
        text = f"the device {device.id!r} belongs to the CRM {crm.name!r}; assign it to another owner first"
        raise Conflict(text, code="own_device")
    if crm.uses_all_devices and device.owner_crm_id is None:
        text = f"the CRM {crm.name!r} may use all devices; give it a list of devices first"
        raise Conflict(text, code="uses_all_devices")
    drop_all(session, sa.and_(CrmDevice.crm_id == crm.id, CrmDevice.device_id == device.id))
    endings.cancel_queued(session, crm, now, Message.lane.in_(lanes.of_device(device.id)))


def find_only_crm(session: Session) -> Crm | None:
    """Return the only approved CRM, `None` if there are several or none."""
    is_approved = sa.and_(Crm.removed_at.is_(None), Crm.approved)
    found = session.scalars(sa.select(Crm).where(is_approved).limit(2)).all()
    return found[0] if len(found) == 1 else None
