"""The `webhooks` part of the OpenAPI document: one entry for each type of event."""

from typing import Any

from ...core.events.recording import TYPES
from . import operation_ids
from .examples import events as examples

TAG = {
    "name": "Webhook events",
    "description": "What is sent to your endpoints, one request for each event. Your server answers these.",
}

_TOLD = {
    "message.received": "An SMS came in.",
    "message.dispatched": "A phone was given a message of yours.",
    "message.accepted": "A message is stored on the phone.",
    "message.sent": "A message was sent.",
    "message.delivered": "The network says that a message arrived.",
    "message.failed": "A message failed; `reason` and `reason_class` say why.",
    "message.expired": "The time of a message passed before a phone took it.",
    "message.cancelled": "A message was cancelled.",
    "message.stuck": "A phone has had a message for too long. Told once.",
    "device.online": "A device of yours is heard of again.",
    "device.offline": "A device of yours fell silent.",
    "webhook.disabled": "An endpoint of yours failed for too long and was switched off. Poll for this one.",
    "webhook.ping": "You asked for a test.",
}
_HEADERS = {
    "webhook-id": "The event's id, the same in every attempt: remember the ones you have seen.",
    "webhook-timestamp": "Unix seconds of this attempt; refuse what is older than five minutes.",
    "webhook-signature": (
        "`v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; while a secret is "
        "changed over, two of them with a blank between."
    ),
}


def describe() -> dict[str, Any]:
    """The entries by type."""
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
        "summary": _TOLD[event_type],
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
            "2XX": {"description": "You have it."},
            "410": {"description": "Never again: the endpoint is switched off."},
            "default": {"description": "It is sent again later."},
        },
    }


def _data(event_type: str) -> dict[str, Any]:
    noun = event_type.partition(".")[0]
    if event_type == "webhook.ping":
        return {"type": "object", "properties": {"endpoint_id": {"type": "string"}}}
    schemas = {"message": "Message", "device": "Device", "webhook": "Webhook"}
    return {"$ref": f"#/components/schemas/{schemas[noun]}"}
