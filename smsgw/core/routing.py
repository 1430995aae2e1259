"""Which CRMs and which devices go together."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..store.db import run
from ..store.models import Crm, CrmDevice, Device
from .rows import AnyCrm


def device_ids_of(session: Session, crm: AnyCrm) -> list[str]:
    """The devices the CRM may use, by name."""
    return list(
        session.scalars(
            sa.select(Device.id)
            .where(Device.removed_at.is_(None), _is_usable_by(crm.id, crm.uses_all_devices))
            .order_by(Device.id)
        )
    )


def may_use(session: Session, crm: AnyCrm, device_id: str) -> bool:
    """Whether the device is there and the CRM may use it."""
    return device_id in usable(session, crm, {device_id})


def usable(session: Session, crm: AnyCrm, device_ids: Collection[str]) -> set[str]:
    """Which of these devices are there and may be used by the CRM."""
    if not device_ids:
        return set()
    session.flush()
    wanted = {"device_ids": list(device_ids), "crm_id": crm.id, "uses_all": crm.uses_all_devices}
    return {row.id for row in run(session, _USABLE, wanted)}


def _is_usable_by(crm_id: str, uses_all: bool) -> sa.ColumnElement[bool]:
    if uses_all:
        return sa.true()
    return sa.exists().where(CrmDevice.crm_id == crm_id, CrmDevice.device_id == Device.id)


def is_of_device(device_id: str | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """A condition on `Crm`: it was not removed and may use this device."""
    return sa.and_(
        Crm.removed_at.is_(None),
        sa.or_(
            Crm.uses_all_devices,
            Crm.id.in_(
                sa.select(CrmDevice.crm_id)
                .where(CrmDevice.device_id == device_id)
                .correlate(Device)
            ),
        ),
    )


def ids_for_device(session: Session, device_id: str) -> list[str]:
    """The CRMs that are told what happens on this device."""
    return [row.id for row in run(session, _OF_DEVICE, {"device_id": device_id})]


_USABLE = sa.select(Device.id).where(
    Device.id.in_(sa.bindparam("device_ids", type_=sa.String, expanding=True)),
    Device.removed_at.is_(None),
    sa.or_(
        sa.bindparam("uses_all", type_=sa.Boolean),
        sa.exists().where(
            CrmDevice.crm_id == sa.bindparam("crm_id", type_=sa.String),
            CrmDevice.device_id == Device.id,
        ),
    ),
)
_OF_DEVICE = (
    sa.select(Crm.id)
    .where(is_of_device(sa.bindparam("device_id", type_=sa.String)))
    .order_by(Crm.id)
)
