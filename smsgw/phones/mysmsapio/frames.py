"""Writes the frames of `/cable`, as Rails' Action Cable does."""

import json
from typing import Any

from ... import clock
from ...core.messages.handing_out import Outgoing
from ...live.conversation import Answer, Close
from . import translation

WELCOME = '{"type":"welcome"}'
RESTART = '{"type":"disconnect","reason":"server_restart","reconnect":true}'
UNAUTHORIZED = '{"type":"disconnect","reason":"unauthorized","reconnect":false}'
NOT_YET = '{"type":"disconnect","reason":"unauthorized","reconnect":true}'
_REMOTE = '{"type":"disconnect","reason":"remote","reconnect":false}'
DISCONNECT: Answer = [_REMOTE, Close(1000)]


def ping() -> str:
    """Return the heartbeat of the server, with its clock's time in seconds."""
    return _compact({"type": "ping", "message": int(clock.now().timestamp())})


def confirm(identifier: str) -> str:
    """Return the confirmation of a subscription."""
    return _compact({"identifier": identifier, "type": "confirm_subscription"})


def reject(identifier: str) -> str:
    """Return the refusal of a subscription."""
    return _compact({"identifier": identifier, "type": "reject_subscription"})


def send_sms(identifier: str, outgoing: Outgoing) -> str:
    """Return the order to send an SMS."""
    payload = {
        "message_id": translation.app_id(outgoing.id),
        "phone_number": outgoing.to,
        "message_body": outgoing.content,
        "priority": translation.priority(outgoing.priority),
    }
    return broadcast(identifier, "send_sms", payload)


def broadcast(identifier: str, action: str, payload: dict[str, Any]) -> str:
    """Return a broadcast as Rails writes it: with the identifier, without a type, which crashes its own client."""
    return _compact({"identifier": identifier, "message": {"action": action, "payload": payload}})


def _compact(frame: dict[str, Any]) -> str:
    return json.dumps(frame, separators=(",", ":"))
