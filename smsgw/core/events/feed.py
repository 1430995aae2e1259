"""Where readers of the event feed stand: the newest event now, and for whom there is a newer one."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import NotFound
from ...store.models import Crm, Event
from . import recording

_NEWEST = (
    sa.select(Event.id)
    .where(Event.crm_id == Crm.id)
    .order_by(Event.tx.desc(), Event.seq.desc())
    .limit(1)
    .scalar_subquery()
)


def newest_ids(session: Session, crm_ids: Collection[str]) -> dict[str, str | None]:
    """Each CRM's newest event, `None` where there is none; on PostgreSQL the feed may show it a moment later."""
    rows = session.execute(sa.select(Crm.id, _NEWEST).where(Crm.id.in_(crm_ids)))
    return dict(rows.all())


def last_shown(session: Session, crm_id: str) -> str | None:
    """The last event that the feed shows this CRM at this moment: whoever goes on after it misses nothing."""
    newest = (
        sa.select(Event.id)
        .where(Event.crm_id == crm_id, recording.is_shown(session))
        .order_by(Event.tx.desc(), Event.seq.desc())
        .limit(1)
    )
    return session.scalar(newest)


def following(session: Session, crm_id: str, after: str | None, limit: int) -> list[Event]:
    """The feed after a position that was good once; nothing when all events were removed for their age since."""
    try:
        return recording.feed(session, crm_id, after, limit)
    except NotFound:
        return []
