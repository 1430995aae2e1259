"""Reads and writes the frames of `/ws`: `{"event", "data"}`, or a client's bare data, recognised by its keys."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .. import clock, json_reader
from ..errors import Invalid
from ..live.conversation import Answer

SUBPROTOCOL = "sms-gateway-v1-json"
SEND_MESSAGE = "sendMessage"
MESSAGE_STATUS = "messageStatus"
MESSAGE_RECEIVED = "messageReceived"
# The key that only this event's data has.
_BARE = {"receiver": SEND_MESSAGE, "status": MESSAGE_STATUS, "sender": MESSAGE_RECEIVED}
# Our fields and their names in this protocol.
_FIELDS = {"to": "receiver", "device_id": "deviceId", "phone": "phoneNumber", "url": "callbackUrl"}
Reader = Callable[[str | bytes], Any]
CLOSE_REVOKED = 4001
CLOSE_REPLACED = 4002
CLOSE_TOO_BIG = 4009


class FrameError(Exception):
    """A frame that cannot be acted on; `code` is one of the protocol's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Frame:
    """One frame of a client. `frame_id` is the envelope's `id`, which goes back with the answer."""

    event: str
    data: dict[str, Any]
    frame_id: Any = None


def answer(
    message: str | bytes, handle: Callable[[Frame], Answer], read_json: Reader = json_reader.read
) -> Answer:
    """Return the answer of `handle` to the frame in a message, or the error frame that says what is wrong."""
    frame_id = None
    try:
        said = _object(message, read_json)
        frame_id = said.get("id") if "event" in said else None
        return handle(_frame(said, frame_id))
    except FrameError as error:
        data = {"code": error.code, "message": error.message}
        return [write("error", data, frame_id=frame_id)]


def reworded(error: Invalid) -> Invalid:
    """Return the same error with this protocol's names of the fields."""
    name, colon, said = error.message.partition(": ")
    return Invalid(
        f"{_FIELDS.get(name, name)}{colon}{said}",
        code=error.code,
        details={_FIELDS.get(field, field): texts for field, texts in error.details.items()},
    )


def text(data: dict[str, Any], name: str, most: int) -> str:
    """Return a required text of at most `most` characters. Raises `FrameError` `invalid_payload`."""
    found = data.get(name)
    if not isinstance(found, str) or not found or len(found) > most:
        raise FrameError("invalid_payload", f"{name} must be a text of 1 to {most} characters")
    return found


def write(
    event: str, data: dict[str, Any], *, frame_id: Any = None, event_id: str | None = None
) -> str:
    """Return a frame to send. `frame_id` is the one that it answers; the client resumes the feed after `event_id`."""
    frame: dict[str, Any] = {"event": event}
    if frame_id is not None:
        frame["id"] = frame_id
    if event_id is not None:
        frame["eventId"] = event_id
    written = json.dumps({**frame, "data": data}, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, which a client may have sent as an id, cannot be encoded in UTF-8.
    return written.encode("utf-8", "replace").decode()


def moment(at: datetime) -> str:
    """Return `2026-03-01T12:00:00Z`, with milliseconds where there are any."""
    return clock.rfc3339(at).replace(".000Z", "Z")


def _object(message: str | bytes, read_json: Reader) -> dict[str, Any]:
    try:
        said = read_json(message)
    except json_reader.InvalidJson as error:
        raise FrameError("invalid_json", str(error)) from None
    if not isinstance(said, dict):
        text = f"the frame must be a JSON object, not {json_reader.kind(said)}"
        raise FrameError("invalid_json", text)
    return said


def _frame(said: dict[str, Any], frame_id: Any) -> Frame:
    if "event" not in said:
        return _bare(said)
    event, data = said["event"], said.get("data")
    if not isinstance(event, str) or event not in _BARE.values():
        raise FrameError("unknown_event", f"there is no event {str(event)[:40]!r}")
    if not isinstance(data, dict):
        raise FrameError("invalid_payload", "data must be a JSON object")
    return Frame(event, data, frame_id)


def _bare(said: dict[str, Any]) -> Frame:
    for name, event in _BARE.items():
        if name in said:
            return Frame(event, said)
    raise FrameError(
        "unknown_event", "the frame has neither an event nor receiver, status or sender"
    )
