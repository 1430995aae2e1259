"""Gathers the history rows and events of one transaction, and writes them once at its end."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from ...store.db import wake_up
from ...store.inserts import Insert, RowBatch
from ...store.models import Dispatch, HistoryEntry, Message
from ...store.rows import DispatchRow, MessageRow
from ..events import recording
from . import json as message_json


class _Entry(NamedTuple):
    message_id: str
    dispatch_id: str | None
    device_id: str | None
    status: str
    reason: str | None
    reported: str | None
    at: datetime


_HISTORY = Insert(HistoryEntry, _Entry)


class HistoryWriter:
    """The history of messages in one transaction, at one moment. Call `write`, or use `writing_history`."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._entries: list[_Entry] = []
        self._new_events: list[recording.NewEvent] = []

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

    def add_event(self, new_event: recording.NewEvent) -> None:
        """Add an event that is not about a message's status."""
        self._new_events.append(new_event)

    def batch(self) -> RowBatch:
        """Return the history rows for an insert together with other rows; the events are not among them."""
        return _HISTORY.batch(self._entries)

    def write(self, session: Session) -> None:
        """Write rows and events, and wake up the workers and sockets after the commit."""
        if not self._entries and not self._new_events:
            return
        wake_up(session)
        _HISTORY.all(session, self._entries)
        recording.record(session, self._new_events, self.now)


@contextmanager
def writing_history(session: Session, now: datetime) -> Iterator[HistoryWriter]:
    """Give a `HistoryWriter` that writes at the end of the block, unless an exception ends it."""
    history = HistoryWriter(now)
    yield history
    history.write(session)
