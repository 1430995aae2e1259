"""Documents the keys that callers have, by the guards of the views."""

SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "crm": [{"crm": []}, {"crm_header": []}],
    "operator": [{"operator": []}],
    "person": [{"operator": []}],
    "crm or clerk": [{"crm": []}, {"crm_header": []}, {"operator": []}],
    "crm or operator": [{"crm": []}, {"crm_header": []}, {"operator": []}],
    "public": [],
}
SECURITY_SCHEMES = {
    "crm": {
        "type": "http",
        "scheme": "bearer",
        "description": "A CRM's API key: `Authorization: Bearer crm_live_…`.",
    },
    "crm_header": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same API key in a separate header.",
    },
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "The key of an operator, a clerk or a viewer: `Authorization: Bearer op_live_…`. "
        "A viewer reads, and of numbers only the ends. "
        "A clerk reads, sends and cancels for the CRM in `?crm=`, or for the only one.",
    },
    "device": {
        "type": "http",
        "scheme": "basic",
        "description": "A device's name and password.",
    },
}
CLERKS_CRM = {
    "in": "query",
    "name": "crm",
    "required": False,
    "schema": {"type": "string"},
    "description": "For clerks with several CRMs: the ID or name of the one to act for. A CRM needs no such parameter.",
}
