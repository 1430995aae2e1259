"""Adds to JSON what only operators see: which CRM each message belongs to."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Crm, InboxEntry, Message
from ...store.rows import MessageRow


def crm_names(session: Session, crm_ids: Collection[str | None]) -> dict[str | None, str]:
    """Return the names of these CRMs, removed ones too."""
    rows = session.execute(sa.select(Crm.id, Crm.name).where(Crm.id.in_(crm_ids)))
    return {row.id: row.name for row in rows}


def of_messages(
    session: Session,
    rows: Sequence[Message | MessageRow],
    shapes: Sequence[dict[str, Any]],
    crm_ids: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the shapes of these messages with the CRM that queued each, and of inbound ones those it came in for.

    Of the latter only these CRMs are named; `None` for all.
    """
    inbound = [row.id for row in rows if row.direction == "inbound"]
    receivers = _receivers(session, inbound, crm_ids)
    names = crm_names(session, {row.crm_id for row in rows})
    return [
        {
            **shape,
            "crm_id": row.crm_id,
            "crm": names.get(row.crm_id),
            **({"received_by": receivers[row.id]} if row.direction == "inbound" else {}),
        }
        for row, shape in zip(rows, shapes, strict=True)
    ]


def _receivers(
    session: Session, message_ids: Sequence[str], crm_ids: Collection[str] | None
) -> dict[str, list[dict[str, str]]]:
    wanted = (
        sa.select(InboxEntry.message_id, Crm.id, Crm.name)
        .join(Crm, Crm.id == InboxEntry.crm_id)
        .where(InboxEntry.message_id.in_(message_ids))
        .order_by(Crm.id)
    )
    if crm_ids is not None:
        wanted = wanted.where(InboxEntry.crm_id.in_(crm_ids))
    receivers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for message_id, crm_id, name in session.execute(wanted):
        receivers[message_id].append({"crm_id": crm_id, "crm": name})
    return receivers
