"""Marks both databases of a copy: neither is served before the copy has ended, and the old one not after it."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import clock, program
from ...errors import GatewayError
from ...store.db import Database
from ...store.models import DatabaseCopy
from ...store.tables import plain
from .finding import Finding

SOURCE, TARGET = "source", "target"
_ONLY = 1


class Copied(GatewayError):
    """The database must not be served, because of a copy; the message says what to do."""

    code = "copied"


def find(session: Session) -> DatabaseCopy | None:
    """Return the mark, `None` where there is none, also in tables of older versions."""
    if not sa.inspect(session.connection()).has_table(DatabaseCopy.__tablename__):
        return None
    return session.get(DatabaseCopy, _ONLY)


def refuse(database: Database) -> None:
    """Raise `Copied` where the database must not be served or changed."""
    found = finding(database)
    if found is not None:
        raise Copied(f"{found.text}: {found.advice}")


def is_being_copied(database: Database) -> bool:
    """Return whether a copy of the database has begun and not ended."""
    with database.reading() as session:
        mark = find(session)
        return mark is not None and mark.role == SOURCE and mark.ended_at is None


def finding(database: Database) -> Finding | None:
    """Return the finding that the database must not be served, `None` where it may."""
    with database.reading() as session:
        mark = find(session)
    fault = None if mark is None else _fault(mark)
    return None if fault is None else Finding("copy", "wrong", *fault)


def put(session: Session, role: str, token: str, other: str, now: datetime) -> None:
    """Mark the database, in the place of an older mark."""
    clear(session)
    session.add(DatabaseCopy(id=_ONLY, role=role, token=token, other=other, began_at=now))


def clear(session: Session) -> None:
    """Take the mark away."""
    session.execute(sa.delete(plain(DatabaseCopy)))
    session.expunge_all()


def refuse_unfinished(session: Session) -> None:
    """Raise `Copied` where the database is the target of a copy that has not ended."""
    mark = find(session)
    fault = None if mark is None or mark.role != TARGET else _fault(mark)
    if fault is not None:
        raise Copied(": ".join(fault))


def end(session: Session, now: datetime) -> None:
    """Note that the copy has ended; from then on the target may be served."""
    mark = session.get_one(DatabaseCopy, _ONLY)
    mark.ended_at = mark.ended_at or now


def was_copied(mark: DatabaseCopy) -> tuple[str, str]:
    """Say where the database was copied to, and what to do."""
    assert mark.ended_at is not None
    return (
        f"this database was copied to {mark.other} at {clock.rfc3339(mark.ended_at)}",
        f"set SMSGW_DATABASE_URL to that one, or serve this one again after '{program.line('db reopen')}'",
    )


def _fault(mark: DatabaseCopy) -> tuple[str, str] | None:
    """Return why the database must not be served and what to do, `None` where it may."""
    if mark.role == SOURCE and mark.ended_at is not None:
        return was_copied(mark)
    if mark.role == SOURCE:
        return (
            f"this database is being copied to {mark.other}",
            f"repeat '{program.line('copy --to URL')}' to go on, "
            f"or give the copy up with '{program.line('db reopen')}'",
        )
    if mark.ended_at is None:
        return (
            f"this database is an unfinished copy of {mark.other}",
            "repeat 'copy' there to go on, or remove this one",
        )
    return None
