"""Manages CRMs: their keys, and which devices they may use."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339, rfc3339_or_none
from ...errors import Forbidden, Invalid, NotFound
from ...store.models import Crm, CrmDevice, Device, Message
from ..devices import lanes, registry, routing
from ..messages import endings, recipients
from ..webhooks import endpoints
from . import crm_names, crm_words, enrolment, ownership, routes

MOST_WAITING = 100
# Those that `update` sets without a check.
_PLAIN_FIELDS = {
    "enabled",
    "strict_numbers",
    "queue_limit",
    "requests_per_minute",
    "loop_guard",
    "sticky_sender",
}
_IS_WAITING = sa.and_(~Crm.approved, Crm.removed_at.is_(None))


def add(
    session: Session, name: str, device_ids: Sequence[str] | None, now: datetime
) -> tuple[Crm, str]:
    """Add a CRM and return it with its API key, which is not stored.

    `device_ids` are the devices it may use; `None` means all of the operators', future ones too.
    """
    crm, key = _add(session, crm_names.checked(session, name), now)
    crm.uses_all_devices = device_ids is None
    session.flush()
    if device_ids is not None:
        route(session, crm, device_ids, now)
    return crm, key


def add_unapproved(session: Session, name: str, now: datetime) -> tuple[Crm, str]:
    """Add a CRM for a caller without a key and return it with its API key; it may use only its own devices.

    Raises `Conflict` for a name that any CRM has or had, or that looks like it.
    """
    name = crm_names.checked(session, name)
    if crm_names.mixes_alphabets(name):
        raise Invalid("a CRM's name mixes alphabets", details={"name": name})
    if _waiting_count(session) >= MOST_WAITING:
        text = f"{MOST_WAITING} CRMs wait for an operator's approval already"
        raise Forbidden(text, code="too_many_waiting")
    if crm_names.folded(name) in map(crm_names.folded, session.scalars(sa.select(Crm.name))):
        raise crm_names.taken(name)
    crm, key = _add(session, name, now)
    crm.approved = False
    session.flush()
    return crm, key


def approve(crm: Crm) -> None:
    """Approve a CRM that registered itself; `route` sets what it may use."""
    crm.approved = True


def get(session: Session, name_or_id: str) -> Crm:
    """Return the CRM with that id or name. Raises `NotFound` when there is none."""
    crm = session.scalars(
        sa.select(Crm)
        .where(Crm.removed_at.is_(None), sa.or_(Crm.id == name_or_id, Crm.name == name_or_id))
        # The id goes first, whatever names other CRMs have.
        .order_by(sa.case((Crm.id == name_or_id, 0), else_=1))
        .limit(1)
    ).first()
    if crm is None:
        raise NotFound(f"no CRM {name_or_id[:80]!r}")
    return crm


def everyone(session: Session) -> list[Crm]:
    """Return all CRMs that were not removed, oldest first."""
    return list(session.scalars(sa.select(Crm).where(Crm.removed_at.is_(None)).order_by(Crm.id)))


def rotate(crm: Crm) -> str:
    """Give the CRM a new key and return it; the old one is void at once."""
    key = ids.new_crm_key()
    crm.key_hash, crm.key_used_at = ids.hash_secret(key), None
    return key


def remove(session: Session, crm: Crm, now: datetime) -> None:
    """Remove the CRM with its own devices: its key is void, and its queued messages are cancelled.

    Its history stays.
    """
    routes.lock(session, crm)
    for device in ownership.of_crm(session, crm.id):
        enrolment.remove(session, device, now)
    endings.cancel_queued(session, crm, now)
    for endpoint in endpoints.of_crm(session, crm.id):
        endpoints.remove(session, endpoint, now)
    crm.removed_at = now
    crm.enabled = False


def update(session: Session, crm: Crm, changes: Mapping[str, Any], now: datetime) -> None:
    """Change the fields named in `changes`; `Conflict` if the new name is taken."""
    if changes.get("name", crm.name) != crm.name:
        crm.name = crm_names.checked(session, changes["name"])
    for name in _PLAIN_FIELDS & changes.keys():
        setattr(crm, name, changes[name])
    crm_words.change(crm, changes)
    if "device_ids" in changes:
        route(session, crm, changes["device_ids"], now)
    session.flush()


def route(session: Session, crm: Crm, device_ids: Sequence[str] | None, now: datetime) -> None:
    """Set the devices that the CRM may use besides its own; `None` means all of the operators', future ones too.

    Messages that it has queued for any other device by name are cancelled. A CRM that registered itself is approved.
    """
    # Two lists that are set at the same time would be mixed.
    routes.lock(session, crm)
    routes.drop_all(session, CrmDevice.crm_id == crm.id)
    crm.uses_all_devices = device_ids is None
    crm.approved = True
    if device_ids is not None:
        _add_routes(session, crm, device_ids)
    session.flush()
    usable = routing.device_ids_of(session, crm)
    endings.cancel_queued(
        session,
        crm,
        now,
        sa.or_(*(Message.lane.startswith(prefix) for prefix in lanes.DEVICE_PREFIXES)),
        Message.lane.not_in([lane for name in usable for lane in lanes.of_device(name)]),
    )


def shapes(session: Session, rows: Sequence[Crm]) -> list[dict[str, Any]]:
    """Return the CRMs in JSON, without their keys.

    `device_ids` are the devices routed to it and its own; it is null where it may use all of the operators' too.
    """
    usable = _device_ids(session, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "name": row.name,
            "enabled": row.enabled,
            "approved": row.approved,
            "strict_numbers": row.strict_numbers,
            "queue_limit": row.queue_limit,
            "requests_per_minute": row.requests_per_minute,
            "stop_words": crm_words.stop_words_of(row),
            "start_words": crm_words.start_words_of(row),
            "sticky_sender": row.sticky_sender,
            "loop_guard": recipients.loop_guard_of(row),
            "device_ids": None if row.uses_all_devices else usable[row.id],
            "created_at": rfc3339(row.created_at),
            "key_used_at": rfc3339_or_none(row.key_used_at),
        }
        for row in rows
    ]


def _waiting_count(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(Crm).where(_IS_WAITING)) or 0


def _add(session: Session, name: str, now: datetime) -> tuple[Crm, str]:
    key = ids.new_crm_key()
    crm = Crm(
        id=ids.new_crm_id(),
        name=name,
        key_hash=ids.hash_secret(key),
        uses_all_devices=False,
        strict_numbers=False,
        enabled=True,
        approved=True,
        created_at=now,
    )
    session.add(crm)
    return crm, key


def _add_routes(session: Session, crm: Crm, device_ids: Sequence[str]) -> None:
    wanted = list(dict.fromkeys(device_ids))
    owner_ids = {device.id: device.owner_crm_id for device in registry.several(session, wanted)}
    unknown = [device_id for device_id in wanted if device_id not in owner_ids]
    if unknown:
        raise Invalid(
            f"no device {unknown[0][:80]!r}", code="unknown_device", details={"device_ids": unknown}
        )
    # Its own devices need no route, and a route would outlast the ownership.
    routed = [device_id for device_id in wanted if owner_ids[device_id] != crm.id]
    routes.put_all(session, crm.id, routed)


def _device_ids(session: Session, crm_ids: Sequence[str]) -> dict[str, list[str]]:
    routed = sa.select(CrmDevice.crm_id, CrmDevice.device_id).where(CrmDevice.crm_id.in_(crm_ids))
    owned = sa.select(Device.owner_crm_id, Device.id).where(
        Device.owner_crm_id.in_(crm_ids), Device.removed_at.is_(None)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for crm_id, device_id in sorted(tuple(row) for row in session.execute(routed.union(owned))):
        found[crm_id].append(device_id)
    return found
