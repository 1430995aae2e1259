"""Single mappings of a device to a CRM, for protocols that map one at a time."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import Conflict
from ..store.db import insert_new
from ..store.models import Crm, CrmDevice, Device, Message
from . import endings
from .rows import AnyCrm


def put(session: Session, crm: AnyCrm, device: Device) -> None:
    """Lets the CRM use the device; nothing to do where it may use all."""
    if not crm.uses_all_devices:
        row = {"crm_id": crm.id, "device_id": device.id}
        insert_new(session, CrmDevice, [row], CrmDevice.device_id, ["crm_id", "device_id"])


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
