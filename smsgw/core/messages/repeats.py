"""Finds texts that were queued for the same number in the last day, so that a second click sends none twice."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict
from ...settings import Settings
from ...sms import numbers, statuses, text_hashes
from ...store.models import Message
from ...store.queries import Query, not_null
from ...store.rows import AnyCrm
from .drafts import Draft

REPEATED_WITHIN = timedelta(days=1)
# These were never sent, and never will be.
UNSENT = (statuses.CANCELLED, statuses.EXPIRED)
_NAMED_NUMBERS = 5


class _QueuedText(NamedTuple):
    text_hash: int
    send_at: datetime | None


_QUEUED = Query(
    _QueuedText,
    sa.select(not_null(Message.text_hash), Message.send_at).where(
        Message.text_hash.in_(sa.bindparam("hashes", type_=sa.BigInteger, expanding=True)),
        Message.text_hash.is_not(None),
        Message.created_at > sa.bindparam("since", type_=Message.created_at.type),
        Message.status.not_in(UNSENT),
    ),
)


def refuse(
    session: Session, crm: AnyCrm, settings: Settings, wanted: Sequence[Draft], now: datetime
) -> None:
    """Raise `Conflict` where one of these texts was queued for its number and time in the last day.

    `details["again"]` names the numbers, for the box with which a person confirms the repeat.
    """
    hashes = {
        draft: text_hashes.of_text(
            crm.id, numbers.normalise(draft.to, settings.default_region), draft.content
        )
        for draft in wanted
    }
    found = _QUEUED.all(session, hashes=list(set(hashes.values())), since=now - REPEATED_WITHIN)
    queued = {(one.text_hash, one.send_at) for one in found}
    again = [draft.to for draft in wanted if (hashes[draft], draft.send_at) in queued]
    if not again:
        return
    named = ", ".join(again[:_NAMED_NUMBERS])
    more = f" and {len(again) - _NAMED_NUMBERS:,} more" if len(again) > _NAMED_NUMBERS else ""
    text = f"This text was queued in the last 24 hours already for {named}{more}."
    raise Conflict(text, code="queued_before", details={"again": [text]})
