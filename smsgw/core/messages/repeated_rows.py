"""Finds the rows of a file that send somebody the same text as another row, or as a message of the last day."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339_or_none
from ...settings import Settings
from ...sms import numbers
from ...store.models import Message
from ...store.rows import AnyCrm
from . import repeats
from .drafts import Draft
from .filters import first_id_of

_AT_ONCE = 5_000


class RepeatedRows(NamedTuple):
    """The places in a file of rows that repeat an earlier row, and of rows that were queued in the last 24 hours."""

    in_file: Sequence[int]
    queued: Sequence[int]


NONE = RepeatedRows((), ())


def find(
    session: Session, crm: AnyCrm, settings: Settings, drafts: Sequence[Draft], now: datetime
) -> RepeatedRows:
    """Return the rows that would send a text once more; a row with a reference is not one of them."""
    wanted = {
        place: _key(
            numbers.normalise(draft.to, settings.default_region), draft.content, draft.send_at
        )
        for place, draft in enumerate(drafts)
        if draft.reference is None
    }
    first: dict[bytes, int] = {}
    for place, key in wanted.items():
        first.setdefault(key, place)
    queued = _queued_keys(session, crm, now) if wanted else set()
    return RepeatedRows(
        [place for place, key in wanted.items() if first[key] != place],
        [place for place, key in wanted.items() if key in queued],
    )


def _queued_keys(session: Session, crm: AnyCrm, now: datetime) -> set[bytes]:
    wanted = (
        sa.select(Message.id, Message.to_number, Message.content, Message.send_at)
        .where(
            Message.crm_id == crm.id,
            Message.direction == "outbound",
            Message.status.not_in(repeats.UNSENT),
        )
        .order_by(Message.id)
        .limit(_AT_ONCE)
    )
    found: set[bytes] = set()
    after = first_id_of(now - repeats.REPEATED_WITHIN)
    while rows := session.execute(wanted.where(Message.id > after)).all():
        found |= {_key(row[1] or "", row[2] or "", row[3]) for row in rows}
        after = rows[-1][0]
    return found


def _key(number: str, content: str, send_at: datetime | None) -> bytes:
    """Return a key that is equal for equal SMS, whatever line breaks a program has written."""
    text = content.replace("\r\n", "\n").strip()
    wanted = f"{number}\n{rfc3339_or_none(send_at)}\n{text}"
    return hashlib.sha256(wanted.encode()).digest()
