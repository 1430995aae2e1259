"""Every route of the dashboard with every role, as the table says."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import time_machine
from werkzeug.routing import Rule

from smsgw import clock
from smsgw.core.accounts import operators

from .conftest import Browser, Office

# `·`: asked to sign in. `403`: refused. `yes`: let in. `key`: asked to type the key again.
#
# no   nobody, and who sends an operator's key in a header     ope  an operator who has just typed the key
# vie  a viewer      cle  a clerk                              old  an operator who did that an hour ago
TABLE = """
                                        no  vie cle ope old
GET /admin                              ·   yes yes yes yes
GET /admin/overview                     ·   yes yes yes yes
GET /admin/<path:name>                  ·   yes yes yes yes
GET /admin/confirm                      ·   yes yes yes yes
POST /admin/confirm                     ·   yes yes yes yes
GET /admin/limits                       ·   yes yes yes yes
GET /admin/limits/<crm_id>              ·   403 403 yes yes
POST /admin/limits/<crm_id>/change      ·   403 403 yes yes
GET /admin/log                          ·   403 403 yes yes
GET /admin/log/quarantine               ·   403 403 yes yes
POST /admin/log/quarantine/clear        ·   403 403 yes key
GET /admin/bulk                         ·   403 yes yes yes
GET /admin/bulk/<bulk_id>               ·   403 yes yes yes
POST /admin/bulk/<bulk_id>/cancel       ·   403 yes yes yes
GET /admin/bulk/<bulk_id>/news          ·   403 yes yes yes
GET /admin/crms                         ·   yes yes yes yes
GET /admin/crms/<crm_id>                ·   yes yes yes yes
POST /admin/crms/<crm_id>/approve       ·   403 403 yes yes
POST /admin/crms/<crm_id>/disable       ·   403 403 yes yes
POST /admin/crms/<crm_id>/enable        ·   403 403 yes yes
POST /admin/crms/<crm_id>/remove        ·   403 403 yes key
POST /admin/crms/<crm_id>/rotate        ·   403 403 yes key
POST /admin/crms/<crm_id>/routes        ·   403 403 yes yes
POST /admin/crms/add                    ·   403 403 yes key
POST /admin/crms/pair                   ·   403 403 yes yes
GET /admin/deliveries/<delivery_id>     ·   yes yes yes yes
GET /admin/deliveries/<delivery_id>/news ·   yes yes yes yes
POST /admin/deliveries/<delivery_id>/replay ·   403 403 yes yes
POST /admin/conversation/reply          ·   403 yes yes yes
GET /admin/conversations                ·   yes yes yes yes
GET /admin/conversations/<key>          ·   yes yes yes yes
GET /admin/conversations/<key>/news     ·   yes yes yes yes
GET /admin/conversations/news           ·   yes yes yes yes
POST /admin/bulk/<bulk_id>/pause        ·   403 yes yes yes
POST /admin/bulk/<bulk_id>/resume       ·   403 yes yes yes
GET /admin/bulk/<bulk_id>/result.csv    ·   403 yes yes yes
GET /admin/bulk/sheet/<sheet_id>        ·   403 yes yes yes
POST /admin/bulk/sheet/<sheet_id>/columns ·   403 yes yes yes
POST /admin/bulk/sheet/<sheet_id>/leave-out ·   403 yes yes yes
POST /admin/bulk/sheet/<sheet_id>/mend  ·   403 yes yes yes
POST /admin/bulk/sheet/<sheet_id>/queue ·   403 yes yes yes
POST /admin/bulk/upload                 ·   403 yes yes yes
GET /admin/devices                      ·   yes yes yes yes
GET /admin/devices/<device_id>          ·   yes yes yes yes
POST /admin/devices/<device_id>/approve ·   403 403 yes yes
POST /admin/devices/<device_id>/change  ·   403 403 yes yes
POST /admin/devices/<device_id>/disable ·   403 403 yes yes
POST /admin/devices/<device_id>/enable  ·   403 403 yes yes
GET /admin/devices/<device_id>/news     ·   yes yes yes yes
POST /admin/devices/<device_id>/remove  ·   403 403 yes key
POST /admin/devices/<device_id>/reset   ·   403 403 yes key
POST /admin/devices/<device_id>/resume  ·   403 403 yes yes
POST /admin/devices/<device_id>/rotate  ·   403 403 yes key
POST /admin/devices/<device_id>/test    ·   403 403 yes yes
POST /admin/devices/add                 ·   403 403 yes key
POST /admin/devices/pair                ·   403 403 yes yes
GET /admin/gateways/<device_id>/test    ·   403 403 yes yes
GET /admin/me                           ·   yes yes yes yes
POST /admin/me/codes                    ·   yes yes yes key
POST /admin/me/passkey                  ·   yes yes yes key
POST /admin/me/passkey/options          ·   yes yes yes yes
POST /admin/me/passkey/remove           ·   yes yes yes key
POST /admin/me/password                 ·   yes yes yes key
POST /admin/me/password/remove          ·   yes yes yes key
POST /admin/me/sign-out-others          ·   yes yes yes yes
POST /admin/message/cancel              ·   403 yes yes yes
POST /admin/message/resend              ·   403 yes yes yes
GET /admin/messages                     ·   yes yes yes yes
GET /admin/messages.csv                 ·   yes yes yes yes
GET /admin/messages/<message_id>        ·   yes yes yes yes
GET /admin/messages/<message_id>/news   ·   yes yes yes yes
POST /admin/messages/cancel             ·   403 yes yes yes
GET /admin/messages/news                ·   yes yes yes yes
POST /admin/messages/resend             ·   403 yes yes key
POST /admin/messages/review             ·   403 yes yes yes
GET /admin/opt-outs                     ·   yes yes yes yes
POST /admin/opt-outs/add                ·   403 yes yes yes
POST /admin/opt-outs/remove             ·   403 yes yes yes
GET /admin/overview/news                ·   yes yes yes yes
GET /admin/people                       ·   403 403 yes yes
POST /admin/people/add                  ·   403 403 yes key
GET /admin/person                       ·   403 403 yes yes
POST /admin/person/change               ·   403 403 yes key
POST /admin/person/remove               ·   403 403 yes key
POST /admin/person/reset                ·   403 403 yes key
POST /admin/person/sign-out             ·   403 403 yes key
POST /admin/segments                    ·   403 yes yes yes
GET /admin/send                         ·   403 yes yes yes
POST /admin/send                        ·   403 yes yes yes
POST /admin/send/preview                ·   403 yes yes yes
GET /admin/sign-in                      yes yes yes yes yes
POST /admin/sign-in                     ·   ·   ·   ·   ·
POST /admin/sign-in/passkey             yes yes yes yes yes
POST /admin/sign-out                    yes yes yes yes yes
GET /admin/start                        ·   403 403 yes yes
POST /admin/start/crm                   ·   403 403 yes key
POST /admin/start/device                ·   403 403 yes key
GET /admin/start/news                   ·   403 403 yes yes
POST /admin/start/test                  ·   403 403 yes yes
GET /admin/static/<path:name>           yes yes yes yes yes
GET /admin/webhooks                     ·   yes yes yes yes
GET /admin/webhooks/<webhook_id>        ·   yes yes yes yes
POST /admin/webhooks/<webhook_id>/change ·   403 403 yes key
POST /admin/webhooks/<webhook_id>/check ·   yes yes yes yes
POST /admin/webhooks/<webhook_id>/disable ·   403 403 yes yes
POST /admin/webhooks/<webhook_id>/enable ·   403 403 yes yes
POST /admin/webhooks/<webhook_id>/recover ·   403 403 yes yes
POST /admin/webhooks/<webhook_id>/remove ·   403 403 yes key
POST /admin/webhooks/<webhook_id>/rotate ·   403 403 yes key
POST /admin/webhooks/<webhook_id>/test  ·   403 403 yes yes
POST /admin/webhooks/add                ·   403 403 yes key
"""
HALF_AN_HOUR = timedelta(minutes=30)


def test_every_route_admits_the_roles_that_the_table_says(office: Office):
    start = clock.now()
    with office.world.database.transaction() as session:
        office.keys["old"] = operators.add(session, "old", start)
    with time_machine.travel(start - HALF_AN_HOUR):
        old = office.browser("old")
    nobody = office.browser()
    roles = [(nobody, {"Authorization": f"Bearer {office.keys['operator']}"})]
    roles += [(office.browser(role), {}) for role in ("viewer", "clerk", "operator")]
    roles.append((old, {}))
    tokens = {id(browser): _token(browser) for browser, _ in roles}
    rows = {}
    for name, rule in _routes(office):
        answers = [
            _answer(browser, name, rule, headers, tokens[id(browser)]) for browser, headers in roles
        ]
        rows[name] = f"{name:<39} " + "".join(f"{answer:<4}" for answer in answers).rstrip()
    wanted = {" ".join(line.split()[:2]): line for line in TABLE.splitlines()[2:]}
    wrong = [row for name, row in rows.items() if row != wanted.get(name)]
    gone = [f"{name}: no such route" for name in wanted.keys() - rows.keys()]
    assert not wrong + gone, "\n".join(["what was answered instead:", *wrong, *gone])


def _token(browser: Browser) -> str:
    browser.get("/admin/me")
    if browser.page.status_code == 303:
        browser.get("/admin/sign-in")
    token = browser.page.text.partition('name="csrf_token" value="')[2]
    return token.partition('"')[0]


def _answer(browser: Browser, name: str, rule: Rule, headers: dict[str, str], token: str) -> str:
    path, cookie = rule.rule, browser._client.get_cookie("smsgw")
    for part in rule.arguments:
        path = path.replace(f"<{part}>", "x").replace(f"<path:{part}>", "x")
    if name.startswith("GET"):
        answer = browser.get(path, headers)
    elif rule.endpoint == "dashboard.sign_out":
        return "yes"  # is tried where signing out is tested: afterwards nobody is signed in
    else:
        answer = browser.post(path, {"csrf_token": token}, headers)
    if cookie is not None:
        browser.cookie = cookie.value
    return _word(answer)


def _word(answer: Any) -> str:
    if 'id="confirming"' in answer.text:
        return "yes" if answer.request.path == "/admin/confirm" else "key"
    if answer.status_code == 401 or "/admin/sign-in" in answer.headers.get("Location", ""):
        return "·"
    return "403" if answer.status_code == 403 else "yes"


def _routes(office: Office) -> Iterator[tuple[str, Rule]]:
    for rule in sorted(office.world.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if rule.rule.startswith("/admin"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield f"{method} {rule.rule}", rule
