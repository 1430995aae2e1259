"""Documents the requests to webhook endpoints, one entry for each type of event."""

from typing import Any

from ...core.events.recording import TYPES
from . import operation_ids
from .examples import events as examples

TAG = {
    "name": "Webhook events",
    "description": "The requests that this server sends to your endpoints, one for each event.",
}

_SUMMARIES = {
    "message.received": "A message was received.",
    "message.dispatched": "A message was handed to a phone.",
    "message.accepted": "A message is stored on the phone.",
    "message.sent": "A message was sent.",
    "message.delivered": "The network reported a message as delivered.",
    "message.failed": "A message failed; `reason` and `reason_class` say why.",
    "message.expired": "A message expired before a phone took it.",
    "message.cancelled": "A message was cancelled.",
    "message.stuck": "A phone has had a message for too long; sent once for each message.",
    "device.online": "A device contacted the server again.",
    "device.offline": "A device has not contacted the server for a while.",
    "device.silent": (
        "A device no longer sends, no longer receives, or gets no delivery reports any more, as `reason` and `text` "
        "say; sent once for each time that this begins."
    ),
    "device.recovered": "A device does again what `reason` says that it did not do.",
    "device.limited": (
        "A device is paused, because a message failed because of a limit, or five in a row without a reason; sent when "
        "the pause begins."
    ),
    "opt_out.added": "A number opted out of your messages; `source` says how.",
    "opt_out.removed": "A number was taken off the opt-out list; `source` says how.",
    "webhook.disabled": "An endpoint failed for too long and was disabled; poll for this event.",
    "webhook.ping": "You tested an endpoint.",
}
_HEADERS = {
    "webhook-id": "The ID of the event, the same in every attempt; use it to detect repeated events.",
    "webhook-timestamp": "The time of this attempt in Unix seconds; refuse requests older than five minutes.",
    "webhook-signature": (
        "`v1,` and the Base64 of the HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`. While an old secret "
        "still signs too, there are two signatures, separated by a space."
    ),
}


def describe() -> dict[str, Any]:
    """Return the entries by event type."""
    return {event_type: {"post": _operation(event_type)} for event_type in TYPES}


def _operation(event_type: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["id", "type", "timestamp", "data"],
        "properties": {
            "id": {"type": "string"},
            "type": {"const": event_type},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": _data(event_type),
        },
    }
    example = examples.event(event_type, examples.EVENT_DATA[event_type])
    return {
        "tags": [TAG["name"]],
        "summary": _SUMMARIES[event_type],
        "operationId": operation_ids.id_of_event(event_type),
        "security": [],
        "parameters": [
            {
                "in": "header",
                "name": name,
                "required": True,
                "schema": {"type": "string"},
                "description": text,
            }
            for name, text in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        },
        "responses": {
            "2XX": {"description": "You have received the event."},
            "410": {"description": "The endpoint is gone: it is disabled and gets no more events."},
            "default": {"description": "The event is sent again later."},
        },
    }


def _data(event_type: str) -> dict[str, Any]:
    noun = event_type.partition(".")[0]
    if event_type == "webhook.ping":
        return {"type": "object", "properties": {"endpoint_id": {"type": "string"}}}
    if event_type in ("device.silent", "device.recovered"):
        return {"$ref": "#/components/schemas/SilentDevice"}
    schemas = {"message": "Message", "device": "Device", "webhook": "Webhook", "opt_out": "OptOut"}
    return {"$ref": f"#/components/schemas/{schemas[noun]}"}
