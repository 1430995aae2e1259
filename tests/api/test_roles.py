"""Every route with every role: the table says what each is answered, and what belongs to another CRM is not there."""

import base64
import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.routing import Rule

from smsgw.core.accounts import crms, enrolment, operators, ownership
from smsgw.core.accounts.roles import CLERK, VIEWER
from smsgw.core.devices import protocols
from smsgw.live.upgrade import Refused

from ..conftest import NOW
from .conftest import Api

# What a right request of each role is answered; `·` is 401. The things that a path names (a message, a webhook
# endpoint, a delivery) belong to the CRM `crm`; a device and a CRM are ones that operators made. `bye` is a socket that
# is opened, told that its key is not good, and closed. A new route needs a row: the failing test prints what it found.
#
# no   nobody                                             crm  the CRM that the things belong to
# cht  a device with the stock app: name and password     oth  another CRM, with another device
# app  a device with a key, which speaks MySMSAPio        slf  a CRM that registered itself
# ws   a device with a key, for the CRM WebSocket API     dis  a disabled CRM
# new  a device that waits for an operator's approval     op   an operator
# off  a disabled device                                  vie  a viewer
# sub  a device that a disabled CRM registered            cle  a clerk for the CRM `crm`
# bad  names, passwords and keys that nobody has          clo  a clerk for the CRM `oth`
# mis  right keys where nobody looks for them
TABLE = """
                                                  no  cht app ws  new off sub crm oth slf dis op  vie cle clo bad mis
GET /                                             200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /api/sms                                      ·   200 200 200 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·
POST /api/sms                                     ·   200 200 200 403 403 403 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·
GET /api/v1/audit                                 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
GET /api/v1/crms                                  ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 200 200 200 ·   ·
POST /api/v1/crms                                 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   201 403 403 403 ·   ·
GET /api/v1/crms/<crm_id>                         ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 200 404 404 ·   ·
PATCH /api/v1/crms/<crm_id>                       ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
DELETE /api/v1/crms/<crm_id>                      ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   204 403 403 403 ·   ·
POST /api/v1/crms/<crm_id>/approve                ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
POST /api/v1/crms/<crm_id>/rotate                 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
GET /api/v1/deliveries/<delivery_id>              ·   ·   ·   ·   ·   ·   ·   200 404 404 403 200 200 200 404 ·   ·
POST /api/v1/deliveries/<delivery_id>/replay      ·   ·   ·   ·   ·   ·   ·   202 404 404 403 ·   ·   ·   ·   ·   ·
GET /api/v1/devices                               ·   ·   ·   ·   ·   ·   ·   200 200 200 403 200 200 200 200 ·   ·
POST /api/v1/devices                              ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   201 403 403 403 ·   ·
GET /api/v1/devices/<device_id>                   ·   ·   ·   ·   ·   ·   ·   200 404 404 403 200 200 200 404 ·   ·
PATCH /api/v1/devices/<device_id>                 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
DELETE /api/v1/devices/<device_id>                ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   204 403 403 403 ·   ·
POST /api/v1/devices/<device_id>/approve          ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
POST /api/v1/devices/<device_id>/resume           ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
POST /api/v1/devices/<device_id>/reset            ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
POST /api/v1/devices/<device_id>/rotate           ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 403 403 403 ·   ·
GET /api/v1/events                                ·   ·   ·   ·   ·   ·   ·   200 200 200 403 200 200 200 200 ·   ·
POST /api/v1/gateway/heartbeat                    ·   200 200 200 403 403 403 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·
POST /api/v1/gateway/register                     403 403 403 403 403 403 403 403 403 403 403 403 403 403 403 403 403
POST /api/v1/gateway/sms/received                 ·   201 201 201 403 403 403 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·
POST /api/v1/gateway/sms/status                   ·   404 404 404 403 403 403 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·
POST /api/v1/messages                             ·   ·   ·   ·   ·   ·   ·   202 202 202 403 ·   403 202 202 ·   ·
GET /api/v1/messages                              ·   ·   ·   ·   ·   ·   ·   200 200 200 403 200 200 200 200 ·   ·
GET /api/v1/messages/<message_id>                 ·   ·   ·   ·   ·   ·   ·   200 404 404 403 200 200 200 404 ·   ·
DELETE /api/v1/messages/<message_id>              ·   ·   ·   ·   ·   ·   ·   200 404 404 403 ·   403 200 404 ·   ·
POST /api/v1/messages/<message_id>/resend         ·   ·   ·   ·   ·   ·   ·   409 404 404 403 ·   403 409 404 ·   ·
POST /api/v1/messages/batch                       ·   ·   ·   ·   ·   ·   ·   202 202 202 403 ·   403 202 202 ·   ·
POST /api/v1/messages/preview                     ·   ·   ·   ·   ·   ·   ·   200 200 200 403 ·   403 200 200 ·   ·
POST /api/v1/sms/send                             ·   ·   ·   ·   ·   ·   ·   202 202 202 403 ·   ·   ·   ·   ·   ·
GET /api/v1/opt-outs                              ·   ·   ·   ·   ·   ·   ·   200 200 200 403 200 200 200 200 ·   ·
POST /api/v1/opt-outs                             ·   ·   ·   ·   ·   ·   ·   201 201 201 403 ·   403 201 201 ·   ·
GET /api/v1/opt-outs/<number>                     ·   ·   ·   ·   ·   ·   ·   200 404 404 403 ·   403 200 404 ·   ·
DELETE /api/v1/opt-outs/<number>                  ·   ·   ·   ·   ·   ·   ·   204 404 404 403 ·   403 204 404 ·   ·
GET /api/v1/stats                                 ·   ·   ·   ·   ·   ·   ·   200 200 200 403 200 200 200 200 ·   ·
GET /api/v1/webhooks                              ·   ·   ·   ·   ·   ·   ·   200 200 200 403 200 200 200 200 ·   ·
POST /api/v1/webhooks                             ·   ·   ·   ·   ·   ·   ·   201 201 201 403 ·   ·   ·   ·   ·   ·
GET /api/v1/webhooks/<webhook_id>                 ·   ·   ·   ·   ·   ·   ·   200 404 404 403 200 200 200 404 ·   ·
PATCH /api/v1/webhooks/<webhook_id>               ·   ·   ·   ·   ·   ·   ·   200 404 404 403 ·   ·   ·   ·   ·   ·
DELETE /api/v1/webhooks/<webhook_id>              ·   ·   ·   ·   ·   ·   ·   204 404 404 403 ·   ·   ·   ·   ·   ·
GET /api/v1/webhooks/<webhook_id>/deliveries      ·   ·   ·   ·   ·   ·   ·   200 404 404 403 200 200 200 404 ·   ·
POST /api/v1/webhooks/<webhook_id>/recover        ·   ·   ·   ·   ·   ·   ·   202 404 404 403 ·   ·   ·   ·   ·   ·
POST /api/v1/webhooks/<webhook_id>/rotate-secret  ·   ·   ·   ·   ·   ·   ·   200 404 404 403 ·   ·   ·   ·   ·   ·
POST /api/v1/webhooks/<webhook_id>/test           ·   ·   ·   ·   ·   ·   ·   202 404 404 403 ·   ·   ·   ·   ·   ·
WS /cable                                         bye bye 101 101 bye bye bye bye bye bye bye bye bye bye bye bye bye
DELETE /cable                                     404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET /cable                                        404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
PATCH /cable                                      404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
POST /cable                                       404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
PUT /cable                                        404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
PUT /devices/<device_id>/crms/<crm_id>            ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   204 403 403 403 ·   ·
DELETE /devices/<device_id>/crms/<crm_id>         ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   409 403 403 403 ·   ·
GET /docs                                         200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /docs/<path:name>                             200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /healthz                                      200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /messages/<message_id>                        ·   ·   ·   ·   ·   ·   ·   200 404 404 403 ·   ·   ·   ·   ·   ·
GET /metrics                                      ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   200 200 200 200 ·   ·
GET /openapi.json                                 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /readyz                                       503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
POST /registerCRM                                 ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   201 ·   ·   ·   ·   ·
POST /registerDevice                              ·   ·   403 403 403 ·   403 201 201 201 403 201 ·   ·   ·   ·   ·
POST /sendMessage                                 ·   ·   ·   ·   ·   ·   ·   202 403 403 403 ·   ·   ·   ·   ·   ·
GET /up                                           200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /ws                                           ·   ·   400 400 403 ·   403 400 400 400 403 ·   ·   ·   ·   ·   ·
WS /ws                                            ·   ·   101 101 403 ·   403 101 101 101 403 ·   ·   ·   ·   ·   ·
"""
ROLES = TABLE.splitlines()[1].split()
WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
NUMBER = "+12025550123"
# The body of a right request; a function where no two may be alike. All others take `{}`.
BODIES: dict[str, Callable[[int], dict[str, Any]]] = {
    "POST /api/v1/crms": lambda n: {"name": f"crm-{n}"},
    "POST /api/v1/devices": lambda n: {"device_id": f"device-{n}"},
    "POST /api/v1/messages": lambda n: {"to": NUMBER, "content": "x"},
    "POST /api/v1/messages/batch": lambda n: {"messages": [{"to": NUMBER, "content": "x"}]},
    "POST /api/v1/messages/preview": lambda n: {"to": NUMBER, "content": "x"},
    "POST /api/v1/opt-outs": lambda n: {"number": f"+120255502{n % 100:02}"},
    "POST /api/v1/webhooks": lambda n: {"url": "https://8.8.8.8/hook"},
    "POST /api/v1/webhooks/<webhook_id>/recover": lambda n: {"since": "2026-03-01T00:00:00Z"},
    "POST /api/v1/sms/send": lambda n: {"to": NUMBER, "message": "x"},
    "POST /api/v1/gateway/register": lambda n: {"device_id": f"device-{n}", "name": "x"},
    "POST /api/v1/gateway/sms/received": lambda n: {"sender": NUMBER, "message": f"{n}"},
    "POST /api/v1/gateway/sms/status": lambda n: {"message_id": "msg_none", "status": "sent"},
    "POST /registerDevice": lambda n: {"deviceId": f"device-{n}"},
    "POST /registerCRM": lambda n: {"crmName": f"crm-{n}"},
    "POST /sendMessage": lambda n: {"receiver": NUMBER, "content": "x", "deviceId": "phone-1"},
}
# Names in a query and in headers that some server looks at.
PLACES = ("api_key", "apiKey", "token", "key", "access_token")
READ_FROM_QUERY = {
    "WS /ws": ("apiKey", "token"),
    "GET /ws": ("apiKey", "token"),
    "WS /cable": ("api_key",),
}
# These know no other way than a Bearer key, or one in the body.
BEARER_ONLY = ("WS /ws", "GET /ws", "POST /registerDevice", "POST /sendMessage")


@pytest.fixture
def roles(api: Api) -> dict[str, list[dict[str, str]]]:
    """For each role the headers to try; what is answered to all of them must be the same."""
    world = api.world
    with world.database.transaction() as session:
        app, app_key = enrolment.add_with_key(session, "app", None, None, NOW)
        app.protocol = protocols.MYSMSAPIO
        sock, sock_key = enrolment.add_with_key(session, "sock", None, None, NOW)
        sock.protocol = protocols.SOCKET
        _, waiting = ownership.add_waiting(session, "wait", None, None, NOW)
        off, off_password = enrolment.add_with_password(session, "d.off", None, None, NOW)
        off.enabled = False
        _, phone_2 = enrolment.add_with_password(session, "phone-2", None, None, NOW)
        _, other_key = crms.add(session, "other", ["phone-2"], NOW)
        stopped, stopped_key = crms.add(session, "stopped", None, NOW)
        _, theirs = ownership.add_for_crm(session, stopped.id, "theirs", None, world.settings, NOW)
        stopped.enabled = False
        _, self_key = crms.add_unapproved(session, "itself", NOW)
        viewer = operators.add(session, "vic", NOW, VIEWER)
        clerk = operators.add(session, "cleo", NOW, CLERK, ["clinic"])
        others_clerk = operators.add(session, "carl", NOW, CLERK, ["other"])
    operator = api.operator["Authorization"].removeprefix("Bearer ")
    right = [world.crm_key, operator, app_key]
    queries = [f"{name}={key}" for name, key in zip(PLACES, itertools.cycle(right), strict=False)]
    wrong = [f"{prefix}{'0' * 64}" for prefix in ("crm_live_", "op_live_", "gw_live_", "")]
    return {
        "no": [{}],
        "cht": [_basic("phone-1", world.password)],
        "app": [_bearer(app_key)],
        "ws": [_bearer(sock_key)],
        "new": [_bearer(waiting), _basic("wait", waiting)],
        "off": [_basic("d.off", off_password)],
        "sub": [_bearer(theirs), _basic("theirs", theirs)],
        "crm": [api.crm, {"X-API-Key": world.crm_key}],
        "oth": [_bearer(other_key)],
        "slf": [_bearer(self_key)],
        "dis": [_bearer(stopped_key)],
        "op": [api.operator],
        "vie": [_bearer(viewer)],
        "cle": [_bearer(clerk)],
        "clo": [_bearer(others_clerk)],
        "bad": [
            *(_bearer(key) for key in wrong),
            _basic("phone-1", "wrong"),
            _basic("nobody", world.password),
            _basic("phone-1", phone_2),
            _basic("phone-1", ""),
            _bearer(world.crm_key[:-1]),
            _bearer(world.crm_key.upper()),
        ],
        "mis": [
            {"Cookie": f"session={operator}; api_key={operator}"},
            *({"?": query} for query in queries),
            {"Proxy-Authorization": f"Bearer {operator}"},
            *({"Authorization": f"{scheme}{operator}"} for scheme in ("", "Token ", "Digest ")),
            _basic("crm", world.crm_key),
            _basic(world.crm_key, ""),
            _basic("phone-1", world.crm_key),
            _basic("phone-1", operator),
        ],
    }


def test_every_route_answers_every_role_as_the_table_says(api: Api, roles):
    things = Things(api)
    # Who is let in is no matter of the database: one try of each role is enough for the second one.
    most = None if api.world.database.is_sqlite else 1
    found = {
        name: [_answers(api, things, name, rule, roles[role][:most]) for role in ROLES]
        for name, rule in _routes(api)
    }
    rows = {name: _row(name, answers) for name, answers in found.items()}
    wanted = {line.split("  ")[0]: line for line in TABLE.splitlines()[2:]}
    wrong = [row for name, row in rows.items() if row != wanted.get(name)]
    gone = [f"{name}: no such route" for name in wanted.keys() - rows.keys()]
    assert not wrong + gone, "\n".join(["what was answered instead:", *wrong, *gone])


def _row(name: str, answers: list[str]) -> str:
    return f"{name:<50}" + "".join(f"{answer:<4}" for answer in answers).rstrip()


class Things:
    """One of each kind that paths name, made anew once a request may have changed it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._made: dict[str, str] = {}
        self.numbers = itertools.count()

    def __getitem__(self, name: str) -> str:
        if name not in self._made:
            self._made[name] = getattr(self, f"_{name}")()
        return self._made[name]

    def clear(self) -> None:
        self._made.clear()

    def _message_id(self) -> str:
        return self._api.send()

    def _webhook_id(self) -> str:
        for hook in self._api.get("/webhooks").json["data"]:
            self._api.call("DELETE", f"/webhooks/{hook['id']}")
        return self._api.post("/webhooks", {"url": "https://8.8.8.8/hook"}).json["id"]

    def _delivery_id(self) -> str:
        return self._api.post(f"/webhooks/{self['webhook_id']}/test").json["id"]

    def _device_id(self) -> str:
        made = {"device_id": f"thing-{next(self.numbers)}"}
        return self._api.post("/devices", made, self._api.operator).json["device_id"]

    def _number(self) -> str:
        made = {"number": f"+120255503{next(self.numbers) % 100:02}"}
        return self._api.post("/opt-outs", made).json["number"]

    def _crm_id(self) -> str:
        made = {"name": f"thing-{next(self.numbers)}"}
        return self._api.post("/crms", made, self._api.operator).json["id"]

    def _name(self) -> str:
        return "https"


def _answers(api: Api, things: Things, name: str, rule: Rule, tries: list[dict[str, str]]) -> str:
    """What all of these headers are answered; all that is answered, where that differs."""
    found = {}
    for headers in tries:
        place, _, _ = headers.get("?", "").partition("=")
        is_right_place = place in READ_FROM_QUERY.get(name, ())
        is_unknown_way = headers is not tries[0] and name in BEARER_ONLY and len(tries) == 2
        if is_right_place or is_unknown_way:
            continue
        answer = _answer(api, things, name, rule, headers)
        found["·" if answer == "401" else answer] = True
        if answer.startswith("2") and not name.startswith("GET"):
            things.clear()
    return "/".join(found)


def _answer(api: Api, things: Things, name: str, rule: Rule, headers: dict[str, str]) -> str:
    number = next(things.numbers)
    path = rule.rule
    for part in rule.arguments:
        path = path.replace(f"<{part}>", things[part]).replace(f"<path:{part}>", things[part])
    method = name.split()[0]
    more: dict[str, Any] = {
        "headers": {key: value for key, value in headers.items() if key != "?"},
        "query_string": headers.get("?", ""),
        # Wrong keys of one address would be slowed down.
        "environ_overrides": {
            "REMOTE_ADDR": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        },
    }
    if method == "WS":
        return _open_socket(api, path, more)
    if method != "GET":
        more["json"] = BODIES.get(name, lambda _: {})(number)
    return str(api.world.client.open(path, method=method, **more).status_code)


def _open_socket(api: Api, path: str, more: dict[str, Any]) -> str:
    more["headers"] = {**more["headers"], **WEBSOCKET}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        more["environ_overrides"]["werkzeug.socket"] = theirs
        with api.world.app.test_request_context(path, **more):
            answer = api.world.app.full_dispatch_request()
            return "bye" if isinstance(answer, Refused) else str(answer.status_code)


def _routes(api: Api) -> Iterator[tuple[str, Rule]]:
    for rule in sorted(api.world.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith("/admin"):
            continue  # keys are not looked at there: tests/dashboard/test_roles.py
        if rule.websocket:
            yield f"WS {rule.rule}", rule
        else:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield f"{method} {rule.rule}", rule


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _basic(name: str, secret: str) -> dict[str, str]:
    pair = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}
