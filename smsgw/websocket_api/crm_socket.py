"""Talks to a CRM over its socket: the events of its feed, and sending.

A CRM's `messageId` of an outgoing SMS is our message's id; of an incoming one it is the id the device gave it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .. import clock, ids
from ..core.accounts import crm_keys, rate_limits
from ..core.accounts.rate_limits import Limit
from ..core.devices import presence, registry, routing
from ..core.events import feed
from ..core.messages import queueing, recipients
from ..core.messages.drafts import Draft
from ..errors import Invalid, TooMany
from ..live.conversation import Answer, Close, Kind
from ..settings import Settings
from ..store.db import Database, Session
from ..store.models import Crm
from . import frames, translation
from .frames import Frame, FrameError

MOST_EVENTS = 100
# Per CRM and process: each socket gets every event.
MOST_SOCKETS = 50
# The hub drops a client with 256 KiB left to read; the largest SMS has 64 KiB.
MOST_BYTES = 64 * 1024
MAX_ID = 200
MAX_TEXT = 64 * 1024
SENDS = Limit("socket sends", 6000, 60)
REVOKED = Close(frames.CLOSE_REVOKED, "the API key is no longer valid")


def _find_ready(
    database: Database, conversations: Sequence["CrmConversation"]
) -> list["CrmConversation"]:
    """Return the conversations that have events to send."""
    with database.reading() as session:
        newest = feed.newest_ids(session, {one.key for one in conversations})
    return [
        one
        for one in conversations
        if one.has_more or newest.get(one.key) not in (None, one.position)
    ]


def _inspect(
    database: Database, conversations: Sequence["CrmConversation"]
) -> list["CrmConversation"]:
    """Return the conversations whose key is void."""
    with database.reading() as session:
        hashes = crm_keys.key_hashes(session)
    return [one for one in conversations if hashes.get(one.key) != one.key_hash]


KIND = Kind(
    "crm sockets",
    find_ready=_find_ready,
    inspect=_inspect,
    most=MOST_SOCKETS,
    too_big=Close(frames.CLOSE_TOO_BIG, "a frame has at most 64 KiB"),
)


class CrmConversation:
    """One CRM's socket; see `live.conversation.Conversation` for when each method is called.

    `position` is the last event that was sent; `has_more` says that there was more than fitted.
    """

    kind = KIND

    def __init__(
        self,
        settings: Settings,
        database: Database,
        crm_id: str,
        key: str,
        position: str | None,
    ) -> None:
        self.key = crm_id
        self.key_hash = ids.hash_secret(key)
        self.position = position
        self.has_more = False
        self._settings = settings
        self._database = database
        self._online_frames: list[str] = []

    def opened(self) -> Answer:
        now = clock.now()
        with self._database.reading() as session:
            crm = self._find_crm(session)
            online = [] if crm is None else presence.online_ids(session, crm)
        moment = frames.moment(now)
        self._online_frames = [
            frames.write("deviceConnected", {"deviceId": device_id, "timestamp": moment})
            for device_id in online
        ]
        return self.work()

    def received(self, message: str | bytes) -> Answer:
        return frames.answer(message, self._handle)

    def work(self) -> Answer:
        with self._database.reading() as session:
            if self._find_crm(session) is None:
                return [REVOKED]
            rows = feed.following(session, self.key, self.position, MOST_EVENTS)
            translated = translation.translate(session, rows)
        answer = self._take_online_frames()
        size = sum(map(len, answer))
        self.has_more = bool(self._online_frames)
        for row, frame in zip(rows, translated, strict=True):
            if size > MOST_BYTES:
                self.has_more = True
                break
            self.position = row.id
            if frame is not None:
                answer.append(frame)
                size += len(frame.encode())
        self.has_more = self.has_more or len(rows) == MOST_EVENTS
        return answer

    def last_messages(self) -> Sequence[str]:
        return []

    def alive(self) -> None:
        """Do nothing: a CRM has no online state."""

    def closed(self) -> None:
        """Do nothing: the client remembers its place in the feed."""

    def _take_online_frames(self) -> list[str]:
        taken = self._online_frames[:MOST_EVENTS]
        self._online_frames = self._online_frames[MOST_EVENTS:]
        return taken

    def _find_crm(self, session: Session) -> Crm | None:
        return crm_keys.find_enabled(session, self.key, self.key_hash)

    def _handle(self, frame: Frame) -> Answer:
        now = clock.now()
        if frame.event != frames.SEND_MESSAGE:
            raise FrameError("forbidden", f"a CRM may not send {frame.event}")
        with self._database.transaction() as session:
            crm = self._find_crm(session)
            if crm is None:
                return [REVOKED]
            message_id = self._queue(session, crm, frame.data, now)
        translated = {
            "deviceId": frame.data["deviceId"],
            "messageId": message_id,
            "status": "QUEUED",
            "timestamp": frames.moment(now),
        }
        return [frames.write(frames.MESSAGE_STATUS, translated, frame_id=frame.frame_id)]

    def _queue(self, session: Session, crm: Crm, data: dict[str, Any], now: datetime) -> str:
        key = data.get("apiKey")
        if key is not None and not (isinstance(key, str) and ids.is_secret(key, self.key_hash)):
            raise FrameError("forbidden", "apiKey is not the one of this socket")
        draft = Draft(
            to=frames.text(data, "receiver", MAX_ID),
            content=frames.text(data, "content", MAX_TEXT),
            device_id=frames.text(data, "deviceId", MAX_ID),
        )
        if not rate_limits.count(session, SENDS, crm.id, now).is_allowed:
            raise FrameError("rate_limited", f"at most {SENDS.count:,} messages a minute")
        _check_device(session, crm, str(draft.device_id))
        try:
            rate_limits.check_request(session, crm, self._settings, now)
            return queueing.queue_one(session, crm, self._settings, draft, now).message.id
        except Invalid as error:
            code = error.code if error.code in recipients.CODES else "invalid_payload"
            raise FrameError(code, frames.reworded(error).message) from None
        except TooMany as error:
            raise FrameError(error.code, error.message) from None


def _check_device(session: Session, crm: Crm, device_id: str) -> None:
    if registry.find(session, device_id) is None:
        raise FrameError("unknown_device", f"there is no device {device_id[:80]!r}")
    if not routing.may_use(session, crm, device_id):
        raise FrameError("forbidden", f"the device {device_id!r} is not mapped to this CRM")
