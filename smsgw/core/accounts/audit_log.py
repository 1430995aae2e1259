"""Reads who changed what, and removes old entries."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339
from ...errors import Invalid
from ...settings import Settings
from ...store.models import AuditEntry

# At least so long, to find out what happened a year ago.
KEPT_DAYS = 400
_AT_ONCE = 500
# An object and its entry are written in one transaction.
_NEAR = timedelta(minutes=1)


@dataclass(frozen=True)
class Filters:
    """A choice of entries to list; `None` for all.

    `actor` and `object` are an ID or a name, `action` is one such as `device.rotate`, or `device` for all of devices.
    """

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None
    object_kind: str | None = None
    object: str | None = None


def page(
    session: Session, filters: Filters, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return at most `limit` entries in JSON, the newest first, and the cursor of the next page.

    The cursor is the id of the last entry of the page before; `Invalid` when it is none.
    """
    if cursor is not None and not ids.is_id(cursor, "aud"):
        raise Invalid.cursor()
    statement = sa.select(AuditEntry).where(*_conditions(filters))
    if cursor is not None:
        statement = statement.where(AuditEntry.id < cursor)
    found = session.scalars(statement.order_by(AuditEntry.id.desc()).limit(limit + 1)).all()
    return list(map(_shape, found[:limit])), found[limit - 1].id if len(found) > limit else None


def who_added(
    session: Session, object_kind: str, added: Mapping[str, datetime]
) -> dict[str, str | None]:
    """Return who added each of these objects, by id; `added` has the time at which each was added."""
    if not added:
        return {}
    is_near = sa.or_(
        *(AuditEntry.at.between(at - _NEAR, at + _NEAR) for at in sorted(set(added.values())))
    )
    wanted = sa.select(AuditEntry.object_id, AuditEntry.actor_name).where(
        is_near, AuditEntry.action == f"{object_kind}.add", AuditEntry.object_id.in_(added)
    )
    return dict(session.execute(wanted).all())


def purge(session: Session, settings: Settings, now: datetime) -> int:
    """Remove some of the entries that are older than both `KEPT_DAYS` and the retention time; return how many."""
    limit = now - timedelta(days=max(KEPT_DAYS, settings.retention_days))
    old = sa.select(AuditEntry.id).where(AuditEntry.at <= limit).order_by(AuditEntry.at)
    found = session.scalars(old.limit(_AT_ONCE)).all()
    session.execute(sa.delete(AuditEntry).where(AuditEntry.id.in_(found)))
    return len(found)


def _conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    found = []
    if filters.since is not None:
        found.append(AuditEntry.at >= filters.since)
    if filters.until is not None:
        found.append(AuditEntry.at < filters.until)
    if filters.actor is not None:
        found.append(
            sa.or_(AuditEntry.actor_id == filters.actor, AuditEntry.actor_name == filters.actor)
        )
    if filters.action is not None:
        found.append(_is_action(filters.action))
    if filters.object_kind is not None:
        found.append(AuditEntry.object_kind == filters.object_kind)
    if filters.object is not None:
        found.append(
            sa.or_(AuditEntry.object_id == filters.object, AuditEntry.object_name == filters.object)
        )
    return found


def _is_action(wanted: str) -> sa.ColumnElement[bool]:
    return (AuditEntry.action if "." in wanted else AuditEntry.object_kind) == wanted


def _shape(row: AuditEntry) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": rfc3339(row.at),
        "actor_kind": row.actor_kind,
        "actor_id": row.actor_id,
        "actor_name": row.actor_name,
        "address": row.address,
        "action": row.action,
        "object_kind": row.object_kind,
        "object_id": row.object_id,
        "object_name": row.object_name,
        "changes": row.changes,
    }
