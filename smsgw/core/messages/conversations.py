"""Lists conversations, and the messages from and to one number, at a bounded cost.

Numbers are compared as they are stored. The list searches `SEARCHED_AT_ONCE` messages at a time. One number's inbound
messages have an index, and its outbound ones are found by the hash of their CRM and number.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Invalid
from ...settings import Settings
from ...sms import text_hashes
from ...store.models import Crm, Message
from ...store.queries import written_out
from ...store.rows import AnyCrm
from . import browsing, read_marks, sticky_senders
from .newest import CrmIds, is_visible

# If a number has more messages, only the newest messages of all are searched for its newest.
MOST_BY_HASH = 5_000
_CRMS_AT_ONCE = 100
_NUMBER = sa.case(
    (Message.direction == written_out("outbound"), Message.to_number), else_=Message.from_number
)
_CURSOR = re.compile(r"(msg_[0-9a-f]{32})?:(msg_[0-9a-f]{32})?")


class ConversationRow(NamedTuple):
    """A number or name, the newest message from or to it, and how many of its messages nobody has read."""

    number: str
    newest: Message
    unread_count: int


class ConversationPage(NamedTuple):
    """A page of conversations, newest first. With `searched_to`, there may be older ones that were not searched."""

    conversations: list[ConversationRow]
    next_cursor: str | None
    searched_to: datetime | None


class MessagesPage(NamedTuple):
    """Messages from and to one number, newest first; `unread` are those that nobody has read."""

    messages: list[Message]
    next_cursor: str | None
    unread: list[read_marks.Unread]


def page(session: Session, crm_ids: CrmIds, cursor: str | None, limit: int) -> ConversationPage:
    """Return at most `limit` conversations of these CRMs (`None` for all), and where to go on."""
    top, before = _read_cursor(cursor)
    lowest = browsing.lowest_id(session, top)
    found = _newest_ids(session, crm_ids, (lowest or "", top, before), limit + 1)
    conversations = _conversations(session, crm_ids, found[:limit], lowest or "")
    if len(found) > limit:
        return ConversationPage(conversations, f"{top or ''}:{found[limit - 1]}", None)
    if lowest is None:
        return ConversationPage(conversations, None, None)
    return ConversationPage(conversations, f"{lowest}:", browsing.time_of(lowest))


def messages(
    session: Session, crm_ids: CrmIds, number: str, cursor: str | None, limit: int
) -> MessagesPage:
    """Return at most `limit` messages from and to this number that these CRMs may see, and where to go on."""
    if cursor is not None and not ids.is_id(cursor, "msg"):
        raise Invalid.cursor()
    outbound = _outbound_ids(session, crm_ids, number, cursor)
    inbound = _inbound_ids(session, crm_ids, number, cursor, limit + 1)
    newest = sorted({*outbound, *inbound}, reverse=True)
    shown = newest[:limit]
    wanted = sa.select(Message).where(Message.id.in_(shown)).order_by(Message.id.desc())
    messages = list(session.scalars(wanted))
    unread = read_marks.unread(session, crm_ids, [number], shown[-1]) if shown else []
    return MessagesPage(messages, shown[-1] if len(newest) > limit else None, unread)


def number_of(message: Message) -> str | None:
    """Return the number at the other end of the message; `None` once the retention time has removed it."""
    return message.to_number if message.direction == "outbound" else message.from_number


def reply_device(
    session: Session, crm: AnyCrm, settings: Settings, messages: Sequence[Message], now: datetime
) -> str | None:
    """Return the device that received the newest inbound one of these messages, if it can send for the CRM now.

    `None` if any device may send, as for a CRM with sticky senders, which chooses by itself.
    """
    if crm.sticky_sender:
        return None
    brought = (row.device_id for row in messages if row.direction == "inbound" and row.device_id)
    device_id = next(brought, None)
    if device_id is None:
        return None
    return device_id if sticky_senders.fit(session, crm, {device_id}, settings, now) else None


def _read_cursor(cursor: str | None) -> tuple[str | None, str | None]:
    """Return below which id to search, and below which newest message the next conversation is."""
    found = _CURSOR.fullmatch(cursor or ":")
    if found is None:
        raise Invalid.cursor()
    return found[1], found[2]


def _newest_ids(
    session: Session, crm_ids: CrmIds, bounds: tuple[str, str | None, str | None], limit: int
) -> list[str]:
    """Return the id of the newest message of each number, newest first."""
    lowest, top, before = bounds
    newest = sa.func.max(Message.id)
    wanted = (
        sa.select(newest)
        .where(Message.id >= lowest, _NUMBER.is_not(None), is_visible(crm_ids))
        .group_by(_NUMBER)
        .order_by(newest.desc())
        .limit(limit)
    )
    if top is not None:
        wanted = wanted.where(Message.id < top)
    if before is not None:
        wanted = wanted.having(newest < before)
    return list(session.scalars(wanted))


def _conversations(
    session: Session, crm_ids: CrmIds, newest_ids: Sequence[str], from_id: str
) -> list[ConversationRow]:
    wanted = sa.select(Message).where(Message.id.in_(newest_ids)).order_by(Message.id.desc())
    by_number = {number_of(row) or "": row for row in session.scalars(wanted)}
    unread = {
        (one.number, one.message_id)
        for one in read_marks.unread(session, crm_ids, by_number, from_id)
    }
    counted = [number for number, _ in unread]
    return [ConversationRow(name, row, counted.count(name)) for name, row in by_number.items()]


def _inbound_ids(
    session: Session, crm_ids: CrmIds, number: str, cursor: str | None, limit: int
) -> Sequence[str]:
    wanted = sa.select(Message.id).where(
        Message.direction == written_out("inbound"),
        Message.from_number == number,
        is_visible(crm_ids),
    )
    if cursor is not None:
        wanted = wanted.where(Message.id < cursor)
    return session.scalars(wanted.order_by(Message.id.desc()).limit(limit)).all()


def _outbound_ids(
    session: Session, crm_ids: CrmIds, number: str, cursor: str | None
) -> Iterator[str]:
    """Yield the ids of the messages to the number below the cursor, in no order."""
    everyone = session.scalars(sa.select(Crm.id)).all() if crm_ids is None else list(crm_ids)
    for start in range(0, len(everyone), _CRMS_AT_ONCE):
        part = everyone[start : start + _CRMS_AT_ONCE]
        found = session.scalars(_by_hash(part, number).limit(MOST_BY_HASH + 1)).all()
        if len(found) > MOST_BY_HASH:
            found = session.scalars(_among_newest(session, part, number, cursor)).all()
        yield from (one for one in found if cursor is None or one < cursor)


def _by_hash(crm_ids: Collection[str], number: str) -> sa.Select[str]:
    ranges = [text_hashes.of_number(crm_id, number) for crm_id in crm_ids]
    return sa.select(Message.id).where(
        sa.or_(*(Message.text_hash.between(*one) for one in ranges)),
        Message.text_hash.is_not(None),
        Message.to_number == number,
        Message.crm_id.in_(crm_ids),
    )


def _among_newest(
    session: Session, crm_ids: Collection[str], number: str, cursor: str | None
) -> sa.Select[str]:
    lowest = browsing.lowest_id(session, cursor) or ""
    wanted = sa.select(Message.id).where(
        Message.id >= lowest, Message.to_number == number, Message.crm_id.in_(crm_ids)
    )
    return wanted if cursor is None else wanted.where(Message.id < cursor)
