"""Decides which CRMs may use which devices.

A device belongs to the CRM that registered it, which uses it alone, or to the operators. An operator may route any
device to any CRM; a CRM that may use all devices may use the operators', and its own. No CRM may use a device
that waits for approval.
"""

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql.expression import SQLColumnExpression

from ...store.models import Crm, CrmDevice, Device, Message
from ...store.queries import Query
from ...store.rows import AnyCrm

_Approved = aliased(Device)
_Owner = aliased(Crm)


_IS_USABLE = sa.and_(
    Device.removed_at.is_(None),
    Device.approved,
    sa.or_(
        sa.and_(sa.bindparam("uses_all", type_=sa.Boolean), Device.owner_crm_id.is_(None)),
        Device.owner_crm_id == sa.bindparam("crm_id", type_=sa.String),
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


def is_of_device(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition on `Crm` that it was not removed and may use this device."""
    is_approved, has_no_owner, owner = _standing(device_id)
    routed = sa.select(CrmDevice.crm_id).where(CrmDevice.device_id == device_id)
    return sa.and_(
        Crm.removed_at.is_(None),
        is_approved,
        sa.or_(
            sa.and_(Crm.uses_all_devices, has_no_owner),
            Crm.id == owner,
            Crm.id.in_(routed.correlate(Device)),
        ),
    )


def _standing(
    device_id: SQLColumnExpression[str],
) -> tuple[SQLColumnExpression[bool], SQLColumnExpression[bool], SQLColumnExpression[str | None]]:
    """Return whether the device is approved, whether it has no owner, and its owner.

    For `Device.id` they are columns of the row that the statement has already: each subquery costs a poll's login.
    """
    if device_id is Device.id:
        return Device.approved, Device.owner_crm_id.is_(None), Device.owner_crm_id
    device = sa.select(_Approved.id).where(_Approved.id == device_id, _Approved.approved)
    owner = sa.select(_Approved.owner_crm_id).where(_Approved.id == device_id)
    has_no_owner = device.where(_Approved.owner_crm_id.is_(None)).correlate(Device).exists()
    return (
        device.correlate(Device).exists(),
        has_no_owner,
        owner.correlate(Device).scalar_subquery(),
    )


class RoutedCrm(NamedTuple):
    """A CRM that gets what a device receives, and the words that stop and restart messages (`None`: the default)."""

    id: str
    stop_words: list[str] | None
    start_words: list[str] | None
    sticky_sender: bool


_RECEIVERS = Query(
    RoutedCrm,
    sa.select(Crm.id, Crm.stop_words, Crm.start_words, Crm.sticky_sender)
    .where(is_of_device(sa.bindparam("device_id", type_=sa.String)))
    .order_by(Crm.id),
)
_RECEIVER_NAMES = Query(
    str,
    sa.select(Crm.name).where(is_of_device(sa.bindparam("device_id", type_=sa.String))),
)


def device_ids_of(session: Session, crm: AnyCrm) -> list[str]:
    """Return the devices the CRM may use, by name."""
    return _ALL_USABLE.all(session, crm_id=crm.id, uses_all=crm.uses_all_devices)


def usable_by_any(session: Session, crm_ids: Collection[str]) -> set[str]:
    """Return the devices that at least one of these CRMs may use."""
    is_usable = sa.exists().where(Crm.id.in_(crm_ids), is_of_device(Device.id)).correlate(Device)
    there = sa.select(Device.id).where(Device.removed_at.is_(None), is_usable)
    return set(session.scalars(there))


def may_use(session: Session, crm: AnyCrm, device_id: str) -> bool:
    """Return whether the device exists and the CRM may use it."""
    return device_id in usable(session, crm, {device_id})


def usable(session: Session, crm: AnyCrm, device_ids: Collection[str]) -> set[str]:
    """Return those of these devices that exist and that the CRM may use."""
    if not device_ids:
        return set()
    found = _USABLE.all(
        session, crm_id=crm.id, uses_all=crm.uses_all_devices, device_ids=list(device_ids)
    )
    return set(found)


def sends_by(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition on `Crm` that it may use this device and is enabled: a disabled CRM's queue waits."""
    return sa.and_(Crm.enabled, is_of_device(device_id))


def is_for_device(device_id: SQLColumnExpression[str]) -> sa.ColumnElement[bool]:
    """Return the condition on `Message` that the CRM that queued it is enabled and may use this device now."""
    return (
        sa.exists().where(Crm.id == Message.crm_id, sends_by(device_id)).correlate(Message, Device)
    )


def is_admitted() -> sa.ColumnElement[bool]:
    """Return the condition on `Device` that it is enabled, and so is the CRM it belongs to."""
    return sa.and_(Device.enabled, sa.or_(Device.owner_crm_id.is_(None), _has_enabled_owner()))


def receivers(session: Session, device_id: str) -> list[RoutedCrm]:
    """Return the CRMs that get the events of this device."""
    return _RECEIVERS.all(session, device_id=device_id)


def ids_for_device(session: Session, device_id: str) -> list[str]:
    """Return the ids of the CRMs that get the events of this device."""
    return [receiver.id for receiver in receivers(session, device_id)]


def names_for_device(session: Session, device_id: str) -> list[str]:
    """Return the sorted names of the CRMs that get the events of this device."""
    return sorted(_RECEIVER_NAMES.all(session, device_id=device_id))


def _has_enabled_owner() -> sa.ColumnElement[bool]:
    is_enabled = sa.and_(_Owner.enabled, _Owner.removed_at.is_(None))
    return sa.exists().where(_Owner.id == Device.owner_crm_id, is_enabled).correlate(Device)
