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
    session: Session, rows: Sequence[Message | MessageRow], shapes: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the shapes of these messages with the CRM that queued each, and of inbound ones those it came in for."""
    receivers = _receivers(session, [row.id for row in rows if row.direction == "inbound"])
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


def _receivers(session: Session, message_ids: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    entries = session.execute(
        sa.select(InboxEntry.message_id, Crm.id, Crm.name)
        .join(Crm, Crm.id == InboxEntry.crm_id)
        .where(InboxEntry.message_id.in_(message_ids))
        .order_by(Crm.id)
    )
    receivers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for message_id, crm_id, name in entries:
        receivers[message_id].append({"crm_id": crm_id, "crm": name})
    return receivers
