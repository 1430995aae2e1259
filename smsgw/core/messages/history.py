"""Gathers what one transaction writes about messages: changed rows, dispatches, history and events."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from ...store.db import wake_up
from ...store.inserts import Insert, RowBatch
from ...store.models import Dispatch, HistoryEntry, Message
from ...store.queries import RowUpdate
from ...store.rows import MESSAGE_COLUMNS, DispatchRow, MessageRow
from ...store.together import Together
from ..events import recording, subscribers
from ..events.subscribers import Gathered, Subscriber
from . import json as message_json


@dataclass(slots=True)
class AnnouncedMessage(MessageRow):
    """A message that is read together with who subscribes to its events."""

    subscribers: Gathered = None


class _Entry(NamedTuple):
    message_id: str
    dispatch_id: str | None
    device_id: str | None
    status: str
    reason: str | None
    reported: str | None
    at: datetime


# What a query selects that gives `AnnouncedMessage`.
ANNOUNCED_COLUMNS = (*MESSAGE_COLUMNS, subscribers.of_crm(Message.crm_id))
# What a report may change of its dispatch.
_REPORTED = RowUpdate(
    Dispatch,
    DispatchRow,
    "status",
    "status_at",
    "reason",
    "reason_class",
    "stuck_at",
    "acknowledged_at",
    "retry_count",
    "reported_revision",
)
# What settling may change of a message.
_SETTLED = RowUpdate(
    Message,
    MessageRow,
    "status",
    "device_id",
    "reason",
    "reason_class",
    "stuck_at",
    "updated_at",
    "sent_at",
    "delivered_at",
)
_DISPATCHES = Insert(Dispatch, DispatchRow)
_HISTORY = Insert(HistoryEntry, _Entry)
_CHANGED = Together(_REPORTED, _SETTLED)
_ALL = Together(_REPORTED, _SETTLED, _DISPATCHES, _HISTORY, recording.EVENTS, recording.DELIVERIES)


class HistoryWriter:
    """The writes of one transaction about messages, at one moment. Call `write`, or use `writing_history`."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._reported: list[DispatchRow] = []
        self._settled: list[MessageRow] = []
        self._dispatches: list[DispatchRow] = []
        self._entries: list[_Entry] = []
        self._new_events: list[recording.NewEvent] = []
        self._subscribers: dict[str, list[Subscriber]] = {}

    def change(self, reported: Iterable[DispatchRow], settled: Iterable[MessageRow]) -> None:
        """Have these rows written back as they are by then: dispatches after reports, and messages that settled."""
        self._reported.extend(reported)
        self._settled.extend(settled)

    def add_dispatch(self, row: DispatchRow) -> None:
        """Add a new dispatch."""
        self._dispatches.append(row)

    def note(
        self,
        message: Message | MessageRow,
        status: str,
        *,
        dispatch: Dispatch | DispatchRow | None = None,
        device_id: str | None = None,
        reason: str | None = None,
        reported: str | None = None,
    ) -> None:
        """Add a row to the message's history; `reported` is the word the phone used, if a phone reported this."""
        self._entries.append(
            _Entry(
                message.id,
                dispatch.id if dispatch else None,
                dispatch.device_id if dispatch else device_id,
                status,
                reason,
                reported,
                self.now,
            )
        )

    def announce(
        self, event_type: str, message: Message | MessageRow, crm_ids: Iterable[str]
    ) -> None:
        """Add an event for each CRM, with the message as it is at this moment."""
        data = message_json.message(message)
        self._new_events.extend(
            recording.NewEvent(event_type, crm_id, data, message.device_id, message.id)
            for crm_id in crm_ids
        )

    def note_subscribers(self, messages: Iterable[AnnouncedMessage]) -> None:
        """Note who subscribes to the events of these messages, which spares asking for it."""
        gathered = {row.crm_id: row.subscribers for row in messages if row.crm_id is not None}
        self._subscribers |= {key: subscribers.read(found) for key, found in gathered.items()}

    def add_event(self, new_event: recording.NewEvent) -> None:
        """Add an event that is not about a message's status."""
        self._new_events.append(new_event)

    def batch(self) -> RowBatch:
        """Return the history rows for an insert together with other rows; the events are not among them."""
        return _HISTORY.batch(self._entries)

    def write_changes(self, session: Session) -> None:
        """Write the changed rows now, because statements that follow must see them."""
        _CHANGED.run(session, self._reported, self._settled)
        self._reported, self._settled = [], []

    def write(self, session: Session) -> None:
        """Write all, and wake up the workers and sockets after the commit."""
        if self._entries or self._new_events:
            wake_up(session)
        events, deliveries = recording.draw_up(
            session, self._new_events, self.now, self._subscribers
        )
        _ALL.run(
            session,
            self._reported,
            self._settled,
            self._dispatches,
            self._entries,
            events,
            deliveries,
        )


@contextmanager
def writing_history(session: Session, now: datetime) -> Iterator[HistoryWriter]:
    """Give a `HistoryWriter` that writes at the end of the block, unless an exception ends it."""
    history = HistoryWriter(now)
    yield history
    history.write(session)
