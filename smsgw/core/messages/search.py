"""Finds messages by a part of their text, in the same way on both databases, whatever their collation."""

import unicodedata

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from ...store.db import is_postgresql
from ...store.models import Message
from .newest import Newest

SEARCHED = (Message.content, Message.from_number, Message.to_number, Message.reference)
_AT_ONCE = 500


def folded(text: str) -> str:
    """Return the text without differences of case and composition: full case folding, NFC (`ß` is `ss`, `ς` is `σ`)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def first(session: Session, newest: Newest, cursor: str | None, limit: int) -> list[str]:
    """Return the ids of the first messages below the cursor that contain what the filters search for, and match them.

    The database leaves out what cannot match, in one pass down the index; the rest is compared here, in batches.
    """
    wanted = folded(newest.filters.q or "")
    may_match = _may_match(session, wanted)
    found: list[str] = []
    while len(found) < limit:
        ids = newest.ids(cursor, _AT_ONCE, may_match)
        candidates = sa.select(Message.id, *SEARCHED).where(Message.id.in_(ids))
        rows = session.execute(candidates.order_by(Message.id.desc())).all()
        found += [row[0] for row in rows if any(_has(text, wanted) for text in row[1:])]
        if len(rows) < _AT_ONCE:
            break
        cursor = rows[-1][0]
    return found[:limit]


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
