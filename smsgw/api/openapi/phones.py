"""What the documentation says about the phone's endpoint, which has rules of its own and reads its bodies itself."""

from typing import Any

_ITEM = {
    "type": "object",
    "required": ["id", "from", "content"],
    "properties": {
        "id": {"type": "string", "description": "The phone's own id; it counts once, for ever."},
        "from": {"type": "string"},
        "content": {"type": "string"},
        "sms_sent": {"type": "integer", "description": "Milliseconds since 1970; 0 if unknown."},
        "sms_received": {"type": "integer", "description": "The same, by the phone's clock."},
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


_DENIED = {"description": "A wrong name or password.", "content": _json(_ERROR)}
_ANY_ERROR = {"description": "Any other error.", "content": _json(_ERROR)}

TAG = {
    "name": "Phones",
    "description": (
        "What phones with cht-gateway call; your program does not. Apps that speak MySMSAPio's API or open a socket "
        "have pages of their own: [MySMSAPio](/docs/mysmsapio), [CRM WebSocket API](/docs/crm-websocket)."
    ),
}
PATHS: dict[str, Any] = {
    "/api/sms": {
        "get": {
            "tags": ["Phones"],
            "summary": "Check the settings",
            "description": "What cht-gateway asks when somebody types the address into it.",
            "security": [{"device": []}],
            "responses": {
                "200": {
                    "description": "This is a server for cht-gateway.",
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
                "The phone brings what it received and what became of its messages, and gets what it is to send. An "
                "item that cannot be read is put aside for the operator; it never refuses the others."
            ),
            "security": [{"device": []}],
            "requestBody": {"required": True, "content": _json(_POLL, _POLL_EXAMPLE)},
            "responses": {
                "200": {
                    "description": "Everything is kept.",
                    "content": _json(_TO_SEND, _ANSWER_EXAMPLE),
                },
                "401": _DENIED,
                "default": _ANY_ERROR,
            },
        },
    }
}
