"""Finds the unread messages of numbers; people who may see the same CRMs share the marks."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import InboxEntry, Message, ReadMark
from ...store.on_conflict import insert_into
from ...store.queries import not_null, written_out

_AT_ONCE = 500
_IS_INBOUND = Message.direction == written_out("inbound")
# Empty for what came in for no CRM.
_RECEIVER = sa.func.coalesce(InboxEntry.crm_id, "")


class Unread(NamedTuple):
    """An inbound message that nobody has read for this CRM."""

    number: str
    message_id: str
    crm_id: str


def unread(
    session: Session, crm_ids: Collection[str] | None, numbers: Collection[str], from_id: str
) -> list[Unread]:
    """Return the messages from these numbers, from this id on, that nobody has read for these CRMs (`None` for all)."""
    wanted = (
        sa.select(not_null(Message.from_number), Message.id, _RECEIVER)
        .join(InboxEntry, InboxEntry.message_id == Message.id, isouter=crm_ids is None)
        .outerjoin(
            ReadMark,
            sa.and_(ReadMark.crm_id == _RECEIVER, ReadMark.number == Message.from_number),
        )
        .where(
            _IS_INBOUND,
            Message.from_number.in_(numbers),
            Message.id >= from_id,
            Message.id > sa.func.coalesce(ReadMark.read_up_to, ""),
        )
    )
    if crm_ids is not None:
        wanted = wanted.where(InboxEntry.crm_id.in_(crm_ids))
    return [Unread(*row) for row in session.execute(wanted)]


def newest(session: Session) -> datetime | None:
    """Return when somebody last opened a conversation with unread messages."""
    found: datetime | None = session.scalar(sa.select(sa.func.max(ReadMark.marked_at)))
    return found


def mark(session: Session, read: Iterable[Unread], now: datetime) -> None:
    """Note that these messages were read, and so all before them."""
    newest: dict[tuple[str, str], str] = {}
    for one in read:
        key = (one.crm_id, one.number)
        newest[key] = max(one.message_id, newest.get(key, ""))
    if not newest:
        return
    # In one order everywhere, so that two transactions wait for each other and do not deadlock.
    rows = [
        {"crm_id": crm_id, "number": number, "read_up_to": message_id, "marked_at": now}
        for (crm_id, number), message_id in sorted(newest.items())
    ]
    statement = insert_into(ReadMark, session.get_bind().dialect).values(rows)
    wanted = statement.excluded.read_up_to
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[ReadMark.crm_id, ReadMark.number],
            set_={"read_up_to": wanted, "marked_at": statement.excluded.marked_at},
            where=ReadMark.read_up_to < wanted,
        )
    )


def forget(session: Session, limit: datetime) -> None:
    """Remove marks that nobody has moved since then, some hundred at a time; their messages are gone too."""
    old = sa.select(ReadMark.crm_id, ReadMark.number).where(ReadMark.marked_at <= limit)
    for crm_id, number in session.execute(old.limit(_AT_ONCE)).all():
        is_it = sa.and_(ReadMark.crm_id == crm_id, ReadMark.number == number)
        session.execute(sa.delete(ReadMark).where(is_it, ReadMark.marked_at <= limit))
