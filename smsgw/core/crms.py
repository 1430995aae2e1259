"""CRMs: their keys, and which devices they may use."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .. import ids
from ..clock import rfc3339
from ..errors import Conflict, Invalid, NotFound
from ..store.db import Database
from ..store.models import Crm, CrmDevice, Device, Message
from ..store.queries import Query
from . import endings, webhooks
from .rows import Caller


def add(
    session: Session, name: str, device_ids: Sequence[str] | None, now: datetime
) -> tuple[Crm, str]:
    """Makes a CRM and returns it with its API key, which is not kept.

    `device_ids` are the devices it may use; `None` means all, future ones too.
    """
    name = _checked_name(session, name)
    key = ids.new_crm_key()
    crm = Crm(
        id=ids.new_crm_id(),
        name=name,
        key_hash=ids.hash_secret(key),
        uses_all_devices=device_ids is None,
        strict_numbers=False,
        enabled=True,
        created_at=now,
    )
    session.add(crm)
    session.flush()
    if device_ids is not None:
        route(session, crm, device_ids, now)
    return crm, key


def get(session: Session, name_or_id: str) -> Crm:
    """The CRM with that id or name; `NotFound` when there is none."""
    crm = session.scalars(
        sa.select(Crm).where(
            Crm.removed_at.is_(None), sa.or_(Crm.id == name_or_id, Crm.name == name_or_id)
        )
    ).first()
    if crm is None:
        raise NotFound(f"no CRM {name_or_id[:80]!r}")
    return crm


def everyone(session: Session) -> list[Crm]:
    """All CRMs that were not removed, oldest first."""
    return list(session.scalars(sa.select(Crm).where(Crm.removed_at.is_(None)).order_by(Crm.id)))


_CALLER = Query(
    Caller,
    sa.select(
        Crm.id,
        Crm.name,
        Crm.uses_all_devices,
        Crm.strict_numbers,
        Crm.enabled,
        Crm.queue_limit,
        Crm.requests_per_minute,
    ).where(Crm.key_hash == sa.bindparam("key_hash", type_=sa.String), Crm.removed_at.is_(None)),
)


def find_caller(database: Database, key: str) -> Caller | None:
    """The CRM this API key belongs to, disabled ones too."""
    return _CALLER.read(database, key_hash=ids.hash_secret(key))


def rotate(crm: Crm) -> str:
    """Gives the CRM a new key and returns it; the old one is void at once."""
    key = ids.new_crm_key()
    crm.key_hash = ids.hash_secret(key)
    return key


def remove(session: Session, crm: Crm, now: datetime) -> None:
    """Takes the CRM away: its key is void and what it still has in the queue is cancelled; its messages stay."""
    endings.cancel_queued(session, crm, now)
    for endpoint in webhooks.of_crm(session, crm.id):
        webhooks.remove(session, endpoint, now)
    crm.removed_at = now
    crm.enabled = False


def rename(session: Session, crm: Crm, name: str) -> None:
    """Gives the CRM another name; `Conflict` when it is taken."""
    if name != crm.name:
        crm.name = _checked_name(session, name)


def route(session: Session, crm: Crm, device_ids: Sequence[str] | None, now: datetime) -> None:
    """Sets which devices the CRM may use from now on; `None` means all, future ones too.

    What it has in the queue for any other device by name is cancelled.
    """
    session.execute(sa.delete(CrmDevice).where(CrmDevice.crm_id == crm.id))
    crm.uses_all_devices = device_ids is None
    if device_ids is None:
        return
    wanted = list(dict.fromkeys(device_ids))
    there = set(
        session.scalars(
            sa.select(Device.id).where(Device.id.in_(wanted), Device.removed_at.is_(None))
        )
    )
    unknown = [device_id for device_id in wanted if device_id not in there]
    if unknown:
        raise Invalid(
            f"no device {unknown[0][:80]!r}", code="unknown_device", details={"device_ids": unknown}
        )
    session.add_all(CrmDevice(crm_id=crm.id, device_id=device_id) for device_id in wanted)
    session.flush()
    endings.cancel_queued(
        session,
        crm,
        now,
        Message.lane.startswith("d:"),
        Message.lane.not_in([f"d:{device_id}" for device_id in wanted]),
    )


def shapes(session: Session, rows: Sequence[Crm]) -> list[dict[str, Any]]:
    """The CRMs in JSON, without their keys; `device_ids` is null where they may use all devices."""
    routes: dict[str, list[str]] = defaultdict(list)
    for crm_id, device_id in session.execute(
        sa.select(CrmDevice.crm_id, CrmDevice.device_id)
        .where(CrmDevice.crm_id.in_([row.id for row in rows]))
        .order_by(CrmDevice.device_id)
    ):
        routes[crm_id].append(device_id)
    return [
        {
            "id": row.id,
            "name": row.name,
            "enabled": row.enabled,
            "strict_numbers": row.strict_numbers,
            "queue_limit": row.queue_limit,
            "requests_per_minute": row.requests_per_minute,
            "device_ids": None if row.uses_all_devices else routes[row.id],
            "created_at": rfc3339(row.created_at),
        }
        for row in rows
    ]


def _checked_name(session: Session, name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid(
            "a CRM's name has 1 to 100 printable characters", details={"name": name[:100]}
        )
    taken = session.scalar(sa.select(Crm.id).where(Crm.name == name, Crm.removed_at.is_(None)))
    if taken:
        raise Conflict(f"there is a CRM {name!r} already", code="name_taken")
    return name
