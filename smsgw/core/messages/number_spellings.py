"""Finds numbers that occur with and without their `+`, which makes two people of one."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Message

# The newest, which the primary key finds at once however many there are.
NEWEST = 10_000


def written_both_ways(session: Session) -> list[str]:
    """Return the numbers that the newest messages write both as `+12025550112` and as `12025550112`, with their `+`."""
    newest = sa.select(Message.id).order_by(Message.id.desc()).limit(NEWEST)
    rows = session.execute(
        sa.select(Message.direction, Message.from_number, Message.to_number).where(
            Message.id >= sa.select(sa.func.min(newest.subquery().c.id)).scalar_subquery()
        )
    )
    seen = {row.to_number if row.direction == "outbound" else row.from_number for row in rows}
    return sorted(one for one in seen if one and one.startswith("+") and one[1:] in seen)
