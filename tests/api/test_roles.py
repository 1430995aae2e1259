"""Every route with every role: who is let in follows from its guard, and what belongs to another CRM is not there."""

import base64
from typing import Any

import pytest
from werkzeug.routing import Rule

from smsgw.core.accounts import crms, enrolment, ownership
from smsgw.core.devices import registry

from ..conftest import NOW
from .conftest import Api

# Routes that need no key or read it themselves; all others have a guard.
PUBLIC = {
    "GET /",
    "GET /docs",
    "GET /docs/<path:name>",
    "GET /openapi.json",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /up",
    "POST /api/v1/gateway/register",
    "POST /registerDevice",
    "POST /registerCRM",
    "POST /sendMessage",
    "GET /ws",
    "GET /cable",
    "POST /cable",
    "PUT /cable",
    "PATCH /cable",
    "DELETE /cable",
}
IN = 0
TABLE = {
    # Role: what it gets where the guard is for devices, CRMs, operators, CRMs or operators. 0 is let in.
    "nobody": (401, 401, 401, 401),
    "device": (IN, 401, 401, 401),
    "other device": (IN, 401, 401, 401),
    "waiting device": (403, 401, 401, 401),
    "crm": (401, IN, 401, IN),
    "other crm": (401, IN, 401, IN),
    "disabled crm": (401, 403, 401, 403),
    "crm that registered itself": (401, IN, 401, IN),
    "device of a disabled crm": (403, 401, 401, 401),
    "operator": (401, 401, IN, IN),
}
GUARDS = ("device", "crm", "operator", "crm or operator")
BODIES = {"recover": {"since": "2026-03-01T00:00:00Z"}}


@pytest.fixture
def roles(api: Api) -> dict[str, dict[str, str]]:
    """The headers of each role."""
    with api.world.database.transaction() as session:
        _, other = enrolment.add_with_password(session, "phone-2", None, None, NOW)
        _, waiting = ownership.add_waiting(session, "stranger", None, None, NOW)
        _, other_crm = crms.add(session, "other", None, NOW)
        disabled, disabled_key = crms.add(session, "disabled", None, NOW)
        settings = api.world.settings
        _, stopped = ownership.add_for_crm(session, disabled.id, "theirs", None, settings, NOW)
        disabled.enabled = False
        _, itself = crms.add_unapproved(session, "itself", NOW)
    return {
        "nobody": {},
        "device": api.world.as_device(),
        "other device": _basic("phone-2", other),
        "waiting device": _basic("stranger", waiting),
        "crm": api.crm,
        "other crm": api.world.as_crm(other_crm),
        "disabled crm": api.world.as_crm(disabled_key),
        "crm that registered itself": api.world.as_crm(itself),
        "device of a disabled crm": _basic("theirs", stopped),
        "operator": api.operator,
    }


def test_every_route_lets_in_whom_its_guard_names_and_nobody_else(api: Api, roles):
    seen = set()
    for method, rule, guard in _routes(api):
        if guard == "public":
            seen.add(f"{method} {rule.rule}")
            continue
        for role, headers in roles.items():
            expected = TABLE[role][GUARDS.index(guard)]
            if expected == 403 and (method, rule.rule) == ("GET", "/api/sms"):
                expected = 401  # the stock app has a fitting text for that one alone
            status = _call(api, method, _path(rule, "nothing"), headers).status_code
            where = f"{method} {rule.rule} as {role}: {status}"
            assert status == expected if expected else status not in (401, 403), where
            assert status < 500, where
    assert seen == PUBLIC


def test_what_belongs_to_another_crm_is_not_there(api: Api, roles):
    found = _things(api)
    for method, rule, guard in _routes(api):
        name = next(iter(rule.arguments), None)
        if guard not in ("crm", "crm or operator") or name is None:
            continue
        path = _path(rule, found[name])
        for role in ("other crm", "crm that registered itself"):
            status = _call(api, method, path, roles[role]).status_code
            assert status == 404, f"{method} {path} as {role}: {status}"
        assert _call(api, method, path, api.crm).status_code != 404, path
        if name == "webhook_id" and method == "DELETE":
            found = _things(api)


def _things(api: Api) -> dict[str, str]:
    """What belongs to the CRM alone: a message, an endpoint with a delivery, a device."""
    hook = api.post("/webhooks", {"url": "https://8.8.8.8/hook"}).json["id"]
    with api.world.database.transaction() as session:
        if session.get(registry.Device, "own") is None:
            settings, crm_id = api.world.settings, api.world.crm_id
            ownership.add_for_crm(session, crm_id, "own", None, settings, NOW)
    return {
        "message_id": api.send(),
        "webhook_id": hook,
        "delivery_id": api.post(f"/webhooks/{hook}/test").json["id"],
        "device_id": "own",
    }


def _routes(api: Api) -> list[tuple[str, Rule, str]]:
    app = api.world.app
    found = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            function = getattr(view, "view_class", None)
            guarded = view if function is None else getattr(function, method.lower())
            blueprint = app.blueprints.get(rule.endpoint.partition(".")[0])
            guard = getattr(guarded, "guard", None) or getattr(blueprint, "guard", None)
            if not rule.websocket and guard is not None:
                found.append((method, rule, guard))
    # What removes a thing comes last.
    return sorted(found, key=lambda one: (one[0] == "DELETE", one[1].rule, one[0]))


def _path(rule: Rule, value: str) -> str:
    path = rule.rule
    for name in rule.arguments:
        path = path.replace(f"<{name}>", value).replace(f"<path:{name}>", value)
    return path


def _call(api: Api, method: str, path: str, headers: dict[str, str]) -> Any:
    body = BODIES.get(path.rpartition("/")[2], {})
    more = {} if method == "GET" else {"json": body}
    return api.world.client.open(path, method=method, headers=headers, **more)


def _basic(device_id: str, secret: str) -> dict[str, str]:
    pair = base64.b64encode(f"{device_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}
