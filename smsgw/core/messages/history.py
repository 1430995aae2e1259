"""The journal of one transaction: history rows and events, gathered while moving and written once at its end."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from ...store.inserts import Batch, Insert
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


class Journal:
    """What happened to messages in one transaction, at one moment. Write it before the commit, or use `writing`."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._entries: list[_Entry] = []
        self._happenings: list[recording.Happening] = []

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
        """Adds a line to the message's history; `reported` is the phone's own word when a phone said it."""
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

    def tell(self, event_type: str, message: Message | MessageRow, crm_ids: Iterable[str]) -> None:
        """Adds an event for each CRM, with the message as it stands at this moment."""
        data = message_json.message(message)
        self._happenings.extend(
            recording.Happening(event_type, crm_id, data, message.device_id, message.id)
            for crm_id in crm_ids
        )

    def history(self) -> Batch:
        """The lines of history, to be inserted with those of others; the events are not among them."""
        return _HISTORY.batch(self._entries)

    def write(self, session: Session) -> None:
        """Writes it all down; the sockets of devices and CRMs may have something to say then."""
        if not self._entries and not self._happenings:
            return
        session.info["has_news"] = True
        _HISTORY.all(session, self._entries)
        recording.record(session, self._happenings, self.now)


@contextmanager
def writing(session: Session, now: datetime) -> Iterator[Journal]:
    """A journal that is written at the end of the block, unless an exception ends it."""
    journal = Journal(now)
    yield journal
    journal.write(session)
