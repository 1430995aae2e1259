"""Names the operations: `operationId` is the function's name in generated clients, so it must never change."""

import re

_IDS = {
    "post /messages": "sendMessage",
    "get /messages": "listMessages",
    "post /messages/batch": "sendMessages",
    "post /messages/preview": "previewMessage",
    "get /messages/{message_id}": "getMessage",
    "delete /messages/{message_id}": "cancelMessage",
    "post /messages/{message_id}/resend": "resendMessage",
    "get /events": "listEvents",
    "get /stats": "getStats",
    "get /webhooks": "listWebhooks",
    "post /webhooks": "createWebhook",
    "get /webhooks/{webhook_id}": "getWebhook",
    "patch /webhooks/{webhook_id}": "updateWebhook",
    "delete /webhooks/{webhook_id}": "deleteWebhook",
    "post /webhooks/{webhook_id}/test": "testWebhook",
    "post /webhooks/{webhook_id}/rotate-secret": "rotateWebhookSecret",
    "get /webhooks/{webhook_id}/deliveries": "listDeliveries",
    "post /webhooks/{webhook_id}/recover": "recoverDeliveries",
    "get /deliveries/{delivery_id}": "getDelivery",
    "post /deliveries/{delivery_id}/replay": "replayDelivery",
    "get /devices": "listDevices",
    "post /devices": "createDevice",
    "get /devices/{device_id}": "getDevice",
    "patch /devices/{device_id}": "updateDevice",
    "delete /devices/{device_id}": "deleteDevice",
    "post /devices/{device_id}/rotate": "rotateDevice",
    "post /devices/{device_id}/reset": "resetDevice",
    "post /devices/{device_id}/approve": "approveDevice",
    "get /opt-outs": "listOptOuts",
    "post /opt-outs": "createOptOut",
    "get /opt-outs/{number}": "getOptOut",
    "delete /opt-outs/{number}": "deleteOptOut",
    "get /crms": "listCrms",
    "post /crms": "createCrm",
    "get /crms/{crm_id}": "getCrm",
    "patch /crms/{crm_id}": "updateCrm",
    "delete /crms/{crm_id}": "deleteCrm",
    "post /crms/{crm_id}/rotate": "rotateCrm",
    "post /crms/{crm_id}/approve": "approveCrm",
    "get /audit": "listAuditEntries",
    "get /api/sms": "checkPhone",
    "post /api/sms": "pollPhone",
}


def id_of(method: str, path: str) -> str:
    """Return the `operationId`; a URL that is not in the table gets one made of its words."""
    short = path.removeprefix("/api/v1")
    known = _IDS.get(f"{method} {short}")
    return known or _joined([method, *re.findall("[A-Za-z0-9]+", short)])


def id_of_event(event_type: str) -> str:
    """Return the `operationId` of an event type: `onMessageReceived` for `message.received`."""
    return _joined(["on", *re.split("[._]", event_type)])


def _joined(words: list[str]) -> str:
    return words[0] + "".join(word[:1].upper() + word[1:] for word in words[1:])
