"""Refuses messages to numbers that have opted out, and a text that a number was sent too often (the loop guard).

Both are decided under a lock on the number (`number_locks`) where messages are queued, so that they are exact over all
processes; `faults` without that lock says what would be refused at this moment.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Invalid
from ...sms.numbers import without_plus
from ...store.models import Message, OptOut
from ...store.queries import Query
from ...store.rows import AnyCrm, MessageRow
from ...store.sessions import connection_of
from ...store.statements import AnyConnection
from . import number_locks

LOOP_WINDOW = timedelta(minutes=30)
DEFAULT_LOOP_GUARD = 5
HIGHEST_LOOP_GUARD = 1000
_ASKED_AT_ONCE = 500


class Recipient(NamedTuple):
    """The recipient of a text, which may get it at most so many times in the window; 0 is any number of times."""

    crm_id: str
    number: str
    text_hash: int
    most: int


class RecipientFault(NamedTuple):
    """The reason why a message is not queued: the field that is wrong, a code for programs and a sentence."""

    field: str
    code: str
    text: str

    def error(self) -> Invalid:
        """Return the fault as the error of a request with one message."""
        text = f"{self.field}: {self.text}"
        return Invalid(text, code=self.code, details={self.field: [self.text]})


# The codes of errors about recipients.
CODES = ("opted_out", "loop_guard")
OPTED_OUT = RecipientFault("to", "opted_out", "This number has opted out of messages (opted_out).")


class _Found(NamedTuple):
    """A number that has opted out, or how often a text was queued."""

    crm_id: str | None
    number: str | None
    text_hash: int | None
    queued_count: int


_FOUND = Query(
    _Found,
    sa.union_all(
        sa.select(
            sa.type_coerce(OptOut.crm_id, sa.String).label("crm_id"),
            sa.type_coerce(OptOut.bare_number, sa.String).label("number"),
            sa.cast(sa.null(), sa.BigInteger).label("text_hash"),
            sa.literal_column("0", sa.BigInteger).label("queued_count"),
        ).where(
            OptOut.crm_id.in_(sa.bindparam("crm_ids", type_=sa.String, expanding=True)),
            OptOut.bare_number.in_(sa.bindparam("numbers", type_=sa.String, expanding=True)),
        ),
        sa.select(
            sa.cast(sa.null(), sa.String),
            sa.cast(sa.null(), sa.String),
            Message.text_hash,
            sa.func.count(),
        )
        .where(
            Message.text_hash.in_(sa.bindparam("hashes", type_=sa.BigInteger, expanding=True)),
            Message.created_at > sa.bindparam("since", type_=Message.created_at.type),
            # What lies beyond was written before the clock was set back.
            Message.created_at <= sa.bindparam("until", type_=Message.created_at.type),
        )
        .group_by(Message.text_hash),
    ),
)


def of_row(crm: AnyCrm, row: MessageRow) -> Recipient:
    """Return the recipient of a message that this CRM is about to queue."""
    return Recipient(
        crm.id, without_plus(row.to_number or ""), row.text_hash or 0, loop_guard_of(crm)
    )


def loop_guard_of(crm: AnyCrm) -> int:
    """Return how often the same text may go to the same number in half an hour; 0 is any number of times."""
    return DEFAULT_LOOP_GUARD if crm.loop_guard is None else crm.loop_guard


def faults(
    session: Session, recipients: Mapping[int, Recipient], now: datetime
) -> dict[int, RecipientFault]:
    """Find which of these rows, in their order, are refused; the earlier ones count for the later ones."""
    counts: Counter[int] = Counter()
    found: dict[int, RecipientFault] = {}
    rows = list(recipients)
    for start in range(0, len(rows), _ASKED_AT_ONCE):
        part = rows[start : start + _ASKED_AT_ONCE]
        decided = _decide(connection_of(session), [recipients[row] for row in part], now, counts)
        found |= {row: one for row, one in zip(part, decided, strict=True) if one}
    return found


def refusals(
    connection: AnyConnection, wanted: Sequence[tuple[Recipient, datetime]]
) -> list[Invalid | None]:
    """Lock the numbers, and return for each message why it is not queued; its moment is that of queueing."""
    recipients = [recipient for recipient, _ in wanted]
    number_locks.take(connection, [(one.crm_id, one.number) for one in recipients])
    now = max(moment for _, moment in wanted)
    decided = _decide(connection, recipients, now, Counter())
    return [one and one.error() for one in decided]


def check_opt_out(session: Session, crm: AnyCrm, number: str, now: datetime) -> None:
    """Lock the number, and raise `Invalid` if it has opted out; for a message that is queued again."""
    connection = connection_of(session)
    number_locks.take(connection, [(crm.id, number)])
    recipient = Recipient(crm.id, without_plus(number), 0, 0)
    (refusal,) = _decide(connection, [recipient], now, Counter())
    if refusal is not None:
        raise refusal.error()


def _decide(
    connection: AnyConnection, wanted: Sequence[Recipient], now: datetime, counts: Counter[int]
) -> list[RecipientFault | None]:
    """Decide on each row by `counts`, how often each text is queued already, and add to it each row that passes."""
    hashes = {one.text_hash for one in wanted if one.most} - counts.keys()
    found = _FOUND.rows(
        connection,
        crm_ids=list({one.crm_id for one in wanted}),
        numbers=list({one.number for one in wanted}),
        hashes=list(hashes),
        since=now - LOOP_WINDOW,
        until=now + LOOP_WINDOW,
    )
    opted_out = {(one.crm_id, one.number) for one in found if one.text_hash is None}
    counts.update({one.text_hash: one.queued_count for one in found if one.text_hash is not None})
    return [_refusal(one, opted_out, counts) for one in wanted]


def _refusal(
    one: Recipient, opted_out: set[tuple[str | None, str | None]], counts: Counter[int]
) -> RecipientFault | None:
    if (one.crm_id, one.number) in opted_out:
        return OPTED_OUT
    if one.most and counts[one.text_hash] >= one.most:
        return _loop(one.most)
    counts[one.text_hash] += 1
    return None


def _loop(most: int) -> RecipientFault:
    times = "once" if most == 1 else f"{most:,} times"
    text = f"The same text was queued for this number {times} in 30 minutes, no more is allowed (loop_guard)."
    return RecipientFault("content", "loop_guard", text)
