"""Documents the endpoint of phones, which reads its bodies without a schema."""

from typing import Any

_ITEM = {
    "type": "object",
    "required": ["id", "from", "content"],
    "properties": {
        "id": {
            "type": "string",
            "description": "The phone's own ID of the message; a repeated ID is ignored.",
        },
        "from": {"type": "string"},
        "content": {"type": "string"},
        "sms_sent": {
            "type": "integer",
            "description": "The time the message was sent, in milliseconds since 1970; 0 if unknown.",
        },
        "sms_received": {
            "type": "integer",
            "description": "The time the phone received it, by its own clock, in milliseconds since 1970.",
        },
    },
}
_UPDATE = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string"},
        "status": {
            "type": "string",
            "description": "`UNSENT`, `PENDING`, `SENT`, `DELIVERED` or `FAILED`.",
        },
        "reason": {"type": "string"},
    },
}
_POLL = {
    "type": "object",
    "properties": {
        "messages": {"type": "array", "items": _ITEM},
        "updates": {"type": "array", "items": _UPDATE},
    },
}
_TO_SEND = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "messages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "to", "content"],
                "properties": {name: {"type": "string"} for name in ("id", "to", "content")},
            },
        }
    },
}
_ERROR = {"$ref": "#/components/schemas/Error"}
_POLL_EXAMPLE = {
    "messages": [
        {
            "id": "0e8a1c52-6c7e-4f43-8d6e-3f5f0f9d2c11",
            "from": "+12025550100",
            "content": "1",
            "sms_sent": 1772366695000,
            "sms_received": 1772366698000,
        }
    ],
    "updates": [{"id": "3f9c2b1e-7a54-4c1d-9a83-5d6f0e2b7c11", "status": "SENT"}],
}
_ANSWER_EXAMPLE = {
    "messages": [
        {
            "id": "3f9c2b1e-7a54-4c1d-9a83-5d6f0e2b7c11",
            "to": "+12025550100",
            "content": "Your appointment is tomorrow at 10:00. Reply 1 to confirm.",
        }
    ]
}


def _json(schema: Any, example: Any = None) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **({"example": example} if example else {})}}


_DENIED = {"description": "The name or password is wrong.", "content": _json(_ERROR)}
_ANY_ERROR = {"description": "Any other error.", "content": _json(_ERROR)}

TAG = {
    "name": "Phones",
    "description": (
        "The endpoint that phones with cht-gateway poll; your program does not need it. For other apps, see "
        "[MySMSAPio](/docs/mysmsapio) and [CRM WebSocket API](/docs/crm-websocket)."
    ),
}
PATHS: dict[str, Any] = {
    "/api/sms": {
        "get": {
            "tags": ["Phones"],
            "summary": "Check the settings",
            "description": "cht-gateway calls this when a user enters the URL.",
            "security": [{"device": []}],
            "responses": {
                "200": {
                    "description": "The server supports cht-gateway.",
                    "content": _json(
                        {
                            "type": "object",
                            "required": ["medic-gateway"],
                            "properties": {"medic-gateway": {"type": "boolean"}},
                        },
                        {"medic-gateway": True},
                    ),
                },
                "401": _DENIED,
                "default": _ANY_ERROR,
            },
        },
        "post": {
            "tags": ["Phones"],
            "summary": "Poll",
            "description": (
                "The phone submits the messages that it received and the status of those that it was given, and gets "
                "messages to send. An item that cannot be read is stored in the quarantine for the operator, and the "
                "other items are accepted."
            ),
            "security": [{"device": []}],
            "requestBody": {"required": True, "content": _json(_POLL, _POLL_EXAMPLE)},
            "responses": {
                "200": {
                    "description": "Everything is stored.",
                    "content": _json(_TO_SEND, _ANSWER_EXAMPLE),
                },
                "401": _DENIED,
                "default": _ANY_ERROR,
            },
        },
    }
}
