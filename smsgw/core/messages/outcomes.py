"""Acts on what came of the dispatches a device reports on: pauses the device, and queues again what it did not send.

Android refuses an SMS before the radio has it when the app has sent too many. Such a message is queued again, for
another phone or for after the pause, where that cannot make it arrive twice: it has one segment (of several, some may
have been sent), its phone tried once, and nobody was told that it failed.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import reasons, statuses
from ...store.models import Crm, Dispatch, Message
from ...store.queries import Change, RowUpdate
from ...store.rows import DispatchRow, MessageRow
from ...store.tables import plain
from ..devices import breaker, lanes, protocols, routing
from ..devices.locking import Locked
from ..devices.pauses import Outcome
from . import queue_limits
from .history import HistoryWriter
from .repeated_reports import Words

_QUEUED_AGAIN = "the phone did not send it, because of its limit on SMS"
_REQUEUED = RowUpdate(
    Message, MessageRow, "status", "device_id", "from_number", "reason", "reason_class"
)
_SUPERSEDE = Change(
    sa.update(plain(Dispatch))
    .where(Dispatch.id.in_(sa.bindparam("dispatch_ids", expanding=True)))
    .values({Dispatch.superseded_at: sa.bindparam("now")})
)


class Outcomes:
    """The outcomes of the dispatches of one batch of reports. `earlier` is what the phone said of each before."""

    def __init__(
        self, session: Session, earlier: Mapping[str, Sequence[Words]], history: HistoryWriter
    ) -> None:
        self._session = session
        self._history = history
        self._said = {key: [word for word, _ in words] for key, words in earlier.items()}
        self._outcomes: list[Outcome] = []
        self._requeued: dict[str, MessageRow] = {}
        self._superseded: list[str] = []

    def note(
        self, dispatch: DispatchRow, message: MessageRow, word: str, *, has_changed: bool
    ) -> None:
        """Note a report that was applied, before its message is settled."""
        said = self._said[dispatch.id]
        is_first_try = len({*said, word}) == len(said) + 1
        said.append(word)
        if not has_changed or dispatch.status in statuses.ACTIVE:
            return
        outcome = Outcome(dispatch.status, dispatch.reason, dispatch.last_handed_out_at)
        self._outcomes.append(outcome)
        is_unsent = is_first_try and _is_unsent(dispatch, message)
        if is_unsent and self._may_be_sent(message):
            self._requeue(dispatch, message)

    def write(self, device: Locked, settings: Settings) -> None:
        """Write what follows for the device and the messages; the device must be locked."""
        if self._requeued:
            self._history.write_changes(self._session)
            _SUPERSEDE.run(self._session, dispatch_ids=self._superseded, now=self._history.now)
            _REQUEUED.all(self._session, self._requeued.values())
            queue_limits.take_room_anyway(self._session, list(self._requeued.values()))
        breaker.note(self._session, device, self._outcomes, settings, self._history.now)

    def _may_be_sent(self, message: MessageRow) -> bool:
        """Return whether its time has not passed, and its CRM may use the device it is for."""
        crm = self._session.get(Crm, message.crm_id)
        if crm is None or crm.removed_at is not None or message.expires_at is None:
            return False
        device_id = lanes.find_device(message.lane)
        may_use = device_id is None or routing.may_use(self._session, crm, device_id)
        return may_use and message.expires_at > self._history.now

    def _requeue(self, dispatch: DispatchRow, message: MessageRow) -> None:
        dispatch.superseded_at = message.updated_at = self._history.now
        message.status = statuses.QUEUED
        message.reason = message.reason_class = None
        if lanes.find_device(message.lane) is None:
            message.device_id = message.from_number = None
        self._history.note(message, statuses.QUEUED, reason=_QUEUED_AGAIN)
        self._requeued[message.id] = message
        self._superseded.append(dispatch.id)


def _is_unsent(dispatch: DispatchRow, message: MessageRow) -> bool:
    """Return whether the phone has surely not sent it, and no failure was reported to anybody before."""
    is_handed_out_once = dispatch.hand_out_count == 1 or dispatch.protocol == protocols.CHT
    return (
        dispatch.status == statuses.FAILED
        and reasons.is_refusal(dispatch.reason or "")
        and dispatch.segments == 1
        and dispatch.retry_count == 0
        and dispatch.superseded_at is None
        and is_handed_out_once
        and message.status in statuses.ACTIVE
        and message.stuck_at is None
    )
