"""Which CRMs and which devices go together."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import SQLColumnExpression

from ..store.models import Crm, CrmDevice, Device
from ..store.queries import Query
from .rows import AnyCrm


def device_ids_of(session: Session, crm: AnyCrm) -> list[str]:
    """The devices the CRM may use, by name."""
    return _ALL_USABLE.all(session, crm_id=crm.id, uses_all=crm.uses_all_devices)


def may_use(session: Session, crm: AnyCrm, device_id: str) -> bool:
    """Whether the device is there and the CRM may use it."""
    return device_id in usable(session, crm, {device_id})


def usable(session: Session, crm: AnyCrm, device_ids: Collection[str]) -> set[str]:
    """Which of these devices are there and may be used by the CRM."""
    if not device_ids:
        return set()
    found = _USABLE.all(
        session, crm_id=crm.id, uses_all=crm.uses_all_devices, device_ids=list(device_ids)
    )
    return set(found)


def is_of_device(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
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
    return _OF_DEVICE.all(session, device_id=device_id)


_IS_USABLE = sa.and_(
    Device.removed_at.is_(None),
    sa.or_(
        sa.bindparam("uses_all", type_=sa.Boolean),
        sa.exists().where(
            CrmDevice.crm_id == sa.bindparam("crm_id", type_=sa.String),
            CrmDevice.device_id == Device.id,
        ),
    ),
)
_ALL_USABLE = Query(str, sa.select(Device.id).where(_IS_USABLE).order_by(Device.id))
_USABLE = Query(
    str,
    sa.select(Device.id).where(
        _IS_USABLE, Device.id.in_(sa.bindparam("device_ids", type_=sa.String, expanding=True))
    ),
)
_OF_DEVICE = Query(
    str,
    sa.select(Crm.id)
    .where(is_of_device(sa.bindparam("device_id", type_=sa.String)))
    .order_by(Crm.id),
)
