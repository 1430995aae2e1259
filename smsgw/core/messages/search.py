"""Finds messages by a part of their text: the same on both databases, whatever their collation."""

import unicodedata
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from ...store.db import is_postgresql
from ...store.models import Message

SEARCHED = (Message.content, Message.from_number, Message.to_number, Message.reference)
_AT_ONCE = 500


def folded(text: str) -> str:
    """Return the text without differences of case and composition: full case folding, NFC (`ß` is `ss`, `ς` is `σ`)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def first(
    session: Session,
    source: sa.Select[Message],
    column: InstrumentedAttribute[str],
    q: str,
    limit: int,
) -> Sequence[Message]:
    """Return the first messages of a statement that contain `q`. `column`, its message ids, orders it downwards.

    The database leaves out what cannot match, in one pass down the index; the rest is compared here, some at a time.
    """
    wanted = folded(q)
    statement = source.with_only_columns(Message.id, *SEARCHED).where(_may_match(session, wanted))
    found: list[str] = []
    rows = session.execute(statement.limit(_AT_ONCE)).all()
    while rows:
        found += [row[0] for row in rows if any(_has(text, wanted) for text in row[1:])]
        if len(found) >= limit or len(rows) < _AT_ONCE:
            break
        rows = session.execute(statement.where(column < rows[-1][0]).limit(_AT_ONCE)).all()
    return session.scalars(sa.select(Message).where(Message.id.in_(found[:limit]))).all()


def _has(text: str | None, wanted: str) -> bool:
    return text is not None and wanted in folded(text)


def _may_match(session: Session, wanted: str) -> sa.ColumnElement[bool]:
    """Match all rows that may match and few others: only for ASCII do databases agree which letters are the same."""
    is_pg = is_postgresql(session)
    conditions = [_is_beyond_ascii(column, is_pg) for column in SEARCHED]
    if wanted.isascii():
        conditions += [
            sa.func.lower(column.collate("C") if is_pg else column).contains(
                wanted, autoescape=True
            )
            for column in SEARCHED
        ]
    return sa.or_(*conditions)


def _is_beyond_ascii(
    column: InstrumentedAttribute[str | None], is_pg: bool
) -> sa.ColumnElement[bool]:
    if is_pg:
        return sa.func.octet_length(column) != sa.func.length(column)
    return sa.func.length(sa.cast(column, sa.LargeBinary)) != sa.func.length(column)
