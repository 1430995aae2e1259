"""Writes an audit entry for each object that a transaction changes, in the same transaction.

Changes of rows are seen when the session flushes them, so whoever changes an audited column through a row cannot leave
out the entry. Whoever writes to an audited table with a statement calls `added`, `routed` or `note`; tests list those.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.orm import Session

from .. import clock, ids
from .audited import ACTIONS, AUDITED, ROUTES, SECRET, SWITCH, fields_of
from .models import AuditEntry, Crm
from .tables import Table, plain

# The key in `Session.info`.
_CHANGES = "audited_changes"
_ROTATED = "rotated"


@dataclass(frozen=True)
class Actor:
    """The author of a change: `operator`, `crm`, `device`, `anonymous` (without a key), `cli` or `server`."""

    kind: str
    id: str | None = None
    name: str | None = None
    address: str | None = None


SERVER = Actor("server")
FindActor = Callable[[], Actor]


@dataclass
class _ChangedObject:
    """The changes of one object in this transaction so far. `row` is one that it has made.

    `routes` counts by device: 1 where it was added, -1 where it was removed, 0 where both.
    """

    kind: str
    id: str
    name: str | None = None
    action: str | None = None
    row: Table | None = None
    fields: dict[str, list[Any]] = field(default_factory=dict)
    routes: Counter[str] = field(default_factory=Counter)


def added(session: Session, row: Table) -> None:
    """Note that this row of an audited table is new, where a statement has inserted it."""
    _of_row(session, row).row = row


def routed(
    session: Session, crm_id: str, *, removed: Collection[str] = (), added: Collection[str] = ()
) -> None:
    """Note which devices a CRM may no longer use, and which it may use now."""
    routes = _of(session, "crm", crm_id).routes
    routes.subtract(removed)
    routes.update(added)


def note(
    session: Session,
    kind: str,
    object_id: str,
    action: str,
    name: str | None = None,
    fields: Mapping[str, list[Any]] | None = None,
) -> None:
    """Note an action that changes no audited column; if one is changed too, the entry names that action instead."""
    changes = _of(session, kind, object_id)
    changes.action, changes.name = action, name
    changes.fields.update(fields or {})


def write(session: Session, find_actor: FindActor) -> None:
    """Write the entries of this transaction; call it once, at its end."""
    session.flush()
    found: dict[tuple[str, str], _ChangedObject] = session.info.pop(_CHANGES, {})
    rows = [row for changes in found.values() if (row := _entry(session, changes)) is not None]
    if not rows:
        return
    actor = find_actor()
    by = {
        "at": clock.now(),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "address": actor.address,
    }
    session.execute(
        sa.insert(plain(AuditEntry)),
        [{"id": ids.new_audit_id(), **by, **row} for row in rows],
    )


@sa.event.listens_for(Session, "after_flush")
def _collect(session: Session, _context: Any) -> None:
    for row in session.new:
        if type(row) in AUDITED:
            added(session, row)
    for row in session.deleted:
        if type(row) in AUDITED:
            _of_row(session, row).action = "remove"
    for row in session.dirty:
        if type(row) in AUDITED:
            _compare(session, row)


def _compare(session: Session, row: Table) -> None:
    state: Any = sa.inspect(row)
    for column, name in fields_of(type(row)).items():
        history = state.attrs[column].history
        if not history.has_changes():
            continue
        old, new = (values[0] if values else None for values in (history.deleted, history.added))
        if old != new:
            fields = _of_row(session, row).fields
            fields[name] = [fields[name][0] if name in fields else old, new]


def _of_row(session: Session, row: Table) -> _ChangedObject:
    audited = AUDITED[type(row)]
    changes = _of(session, audited.kind, getattr(row, audited.id))
    changes.name = None if audited.name is None else getattr(row, audited.name)
    return changes


def _of(session: Session, kind: str, object_id: str) -> _ChangedObject:
    found: dict[tuple[str, str], _ChangedObject] = session.info.setdefault(_CHANGES, {})
    return found.setdefault((kind, object_id), _ChangedObject(kind, object_id))


def _entry(session: Session, changes: _ChangedObject) -> dict[str, Any] | None:
    """Return the columns of the entry; `None` where nothing is different in the end."""
    fields = changes.fields if changes.row is None else _initial(changes.row)
    fields = {name: pair for name, pair in fields.items() if pair[0] != pair[1]}
    if any(changes.routes.values()):
        counts = sorted(changes.routes.items())
        fields[ROUTES] = [[name for name, count in counts if count == way] for way in (-1, 1)]
    action = "add" if changes.row is not None else _action(changes, fields)
    if action is None:
        return None
    is_rotated = SECRET in fields and action not in ("add", "remove")
    shown = {name: [_shown(name, value) for value in pair] for name, pair in fields.items()}
    shown.pop(SECRET, None)
    if changes.name is None and changes.kind == "crm":
        changes.name = session.get_one(Crm, changes.id).name
    return {
        "action": f"{changes.kind}.{action}",
        "object_kind": changes.kind,
        "object_id": changes.id,
        "object_name": changes.name,
        "changes": {**shown, SECRET: [None, _ROTATED]} if is_rotated else shown,
    }


def _initial(row: Table) -> dict[str, list[Any]]:
    """Return what a new row has in its audited columns."""
    fields = fields_of(type(row))
    return {name: [None, getattr(row, column)] for column, name in fields.items()}


def _action(changes: _ChangedObject, fields: Mapping[str, list[Any]]) -> str | None:
    if "removed_at" in fields:
        return "add" if fields["removed_at"][1] is None else "remove"
    for name, action in ACTIONS.get(changes.kind, {}).items():
        if name in fields:
            switch = "enable" if fields[name][1] else "disable"
            return switch if action == SWITCH else action
    return changes.action or ("change" if fields else None)


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return clock.rfc3339(value)
    return _without_secrets(value) if name == "url" and value is not None else value


def _without_secrets(url: str) -> str:
    """Return the URL without the user's name and password, and without the query, which may contain a key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="…" if parts.query else "", fragment="").geturl()
