"""Single mappings of a device to a CRM, for protocols that map one at a time."""

from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import Conflict
from ..store.inserts import InsertNew
from ..store.models import Crm, CrmDevice, Device, Message
from . import endings
from .rows import AnyCrm


class _Route(NamedTuple):
    crm_id: str
    device_id: str


_NEW_ROUTES = InsertNew(
    CrmDevice,
    _Route,
    conflict_on=[CrmDevice.crm_id, CrmDevice.device_id],
    returning=CrmDevice.device_id,
)


def put(session: Session, crm: AnyCrm, device: Device) -> None:
    """Lets the CRM use the device; nothing to do where it may use all."""
    if not crm.uses_all_devices:
        _NEW_ROUTES.new(session, [_Route(crm.id, device.id)])


def remove(session: Session, crm: Crm, device: Device, now: datetime) -> None:
    """Takes the device away from the CRM and cancels what it has queued for it; `Conflict` where it may use all."""
    if crm.uses_all_devices:
        text = f"the CRM {crm.name!r} may use all devices; give it a list of devices first"
        raise Conflict(text, code="uses_all_devices")
    session.execute(
        sa.delete(CrmDevice).where(CrmDevice.crm_id == crm.id, CrmDevice.device_id == device.id)
    )
    endings.cancel_queued(session, crm, now, Message.lane == f"d:{device.id}")


def find_only_crm(session: Session) -> Crm | None:
    """The CRM, if there is exactly one."""
    found = session.scalars(sa.select(Crm).where(Crm.removed_at.is_(None)).limit(2)).all()
    return found[0] if len(found) == 1 else None
