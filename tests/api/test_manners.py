"""What holds for every URL of the API: who is let in, how bodies and URLs are read, how errors look."""

import codecs
import gzip
import json

import pytest

from smsgw.core.accounts import enrolment

from ..conftest import NOW
from .conftest import DRAFT, NUMBER, Api

ROUTES = [
    ("GET", "/messages"),
    ("POST", "/messages"),
    ("POST", "/messages/batch"),
    ("POST", "/messages/preview"),
    ("GET", "/messages/x"),
    ("DELETE", "/messages/x"),
    ("POST", "/messages/x/resend"),
    ("GET", "/events"),
    ("GET", "/stats"),
    ("GET", "/webhooks"),
    ("POST", "/webhooks"),
    ("GET", "/deliveries/x"),
    ("GET", "/devices"),
    ("POST", "/devices"),
    ("GET", "/crms"),
]


def _is_error(answer, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert list(answer.json) == ["error", "code", "message", "details"]
    assert (answer.json["error"], answer.json["code"]) == (True, code)
    assert answer.json["message"]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_key_nobody_is_let_in_and_is_told_how(api: Api, method, path):
    for headers in ({}, {"Authorization": "Bearer crm_live_wrong"}, api.world.as_device()):
        answer = api.call(method, path, headers, data="not JSON")
        _is_error(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"[1", b'{"to": NaN}', b'{"a": 1e999}', b"[" * 100_000, b'{"a":1,"a":1}'],
)
def test_what_is_not_json_is_a_bad_request(api: Api, body):
    _is_error(api.call("POST", "/messages", data=body), 400, "bad_json")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "a list"),
        (b'"x"', "a text"),
        (b"1", "a number"),
        (b"null", "null"),
        (b"true", "true or false"),
    ],
)
def test_json_that_is_no_object_is_refused(api: Api, body, kind):
    answer = api.call("POST", "/messages", data=body)
    _is_error(answer, 422, "invalid")
    assert answer.json["message"] == f"the body must be a JSON object, not {kind}"


def _calls(api: Api) -> dict[str, tuple[dict[str, str], dict]]:
    """A JSON endpoint of each protocol, with a key and a body that is taken there."""
    with api.world.database.transaction() as session:
        _, key = enrolment.add_with_key(session, "gateway-1", None, None, NOW)
    return {
        "/api/v1/messages": (api.crm, {"to": NUMBER, "content": "hello"}),
        "/api/v1/messages/batch": (api.crm, {"messages": [{"to": NUMBER, "content": "hello"}]}),
        "/api/v1/crms": (api.operator, {"name": "other"}),
        "/sendMessage": (api.crm, {"deviceId": "phone-1", "receiver": NUMBER, "content": "hello"}),
        "/registerCRM": (api.operator, {"crmName": "third"}),
        "/registerDevice": (api.operator, {"deviceId": "new"}),
        "/api/v1/sms/send": (api.crm, {"to": NUMBER, "message": "hello"}),
        "/api/v1/gateway/heartbeat": ({"Authorization": f"Bearer {key}"}, {"status": "online"}),
        "/api/sms": (api.world.as_device(), {"messages": [], "updates": []}),
    }


def test_a_byte_order_mark_before_json_is_taken_by_every_endpoint(api: Api):
    for path, (headers, body) in _calls(api).items():
        data = codecs.BOM_UTF8 + json.dumps(body).encode()
        answer = api.world.client.post(path, data=data, headers=headers)
        assert answer.status_code in (200, 201, 202), (path, answer.text)


def test_every_endpoint_says_in_the_same_words_where_a_body_stops_being_json(api: Api):
    for path, (headers, _) in _calls(api).items():
        answer = api.world.client.post(path, data=b'{"to": 1, "a"}'[:8] + b", x}", headers=headers)
        assert answer.status_code == 400, (path, answer.text)
        assert "invalid JSON at line 1 column 11: expecting" in answer.text, (path, answer.text)
        answer = api.world.client.post(path, data='{"a": 1}'.encode("utf-16"), headers=headers)
        assert answer.status_code == 400, (path, answer.text)
        assert "this is UTF-16; send UTF-8" in answer.text, (path, answer.text)


def test_an_empty_body_lacks_its_fields(api: Api):
    answer = api.call("POST", "/messages")
    _is_error(answer, 422, "invalid")
    assert sorted(answer.json["details"]) == ["content", "to"]


def test_the_content_type_does_not_matter(api: Api):
    answer = api.call("POST", "/messages", data=json.dumps(DRAFT), content_type="text/plain")
    assert answer.status_code == 202


def test_a_packed_body_is_unpacked(api: Api):
    headers = {**api.crm, "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(DRAFT).encode())
    assert api.call("POST", "/messages", headers, data=body).status_code == 202


def test_a_large_answer_is_packed_for_who_asks_for_it(api: Api):
    api.send(content="x" * 1600)
    answer = api.get("/messages", {**api.crm, "Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.data))["data"][0]["content"] == "x" * 1600


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udc00x"])
def test_text_that_no_database_keeps_is_refused_wherever_it_stands(api: Api, escape):
    for body in (
        f'{{"to": "+12025550123", "content": "hi", "reference": "{escape}"}}',
        f'{{"to": "+12025550123", "content": "hi", "metadata": {{"a": [{{"b": "{escape}"}}]}}}}',
        f'{{"to": "+12025550123", "content": "hi", "{escape}": 1}}',
        f'{{"to": "+12025550123", "content": "hi", "metadata": {{"{escape}": 1}}}}',
    ):
        _is_error(api.call("POST", "/messages", data=body), 422, "invalid")


def test_a_surrogate_pair_is_one_character(api: Api):
    body = r'{"to": "+12025550123", "content": "\ud83d\ude00", "metadata": {"\ud83d\ude00": 1}}'
    answer = api.call("POST", "/messages", data=body)
    assert (answer.status_code, answer.json["content"]) == (202, "😀")


@pytest.mark.parametrize("levels", [11, 500])
def test_deep_metadata_is_refused(api: Api, levels):
    body = json.dumps({**DRAFT, "metadata": 0}).replace(": 0}", ": {}}")
    deep = '{"a":' * levels + "1" + "}" * levels
    answer = api.call("POST", "/messages", data=body.replace("{}}", deep + "}"))
    _is_error(answer, 422, "invalid")
    assert list(answer.json["details"]) == ["metadata"]


@pytest.mark.parametrize("query", ["q=%00", "q=a%00b", "to=%00", "cursor=%00"])
def test_nul_in_a_query_is_a_bad_request(api: Api, query):
    _is_error(api.call("GET", f"/messages?{query}"), 400, "bad_request")


@pytest.mark.parametrize("query", ["q=%ff", "from=a%ed%a0%80", "reference=%c3"])
def test_broken_utf8_in_a_query_finds_nothing(api: Api, query):
    answer = api.call("GET", f"/messages?{query}")
    assert (answer.status_code, answer.json["data"]) == (200, [])


def test_an_unknown_url_and_a_wrong_method_have_the_same_error_body(api: Api):
    _is_error(api.get("/nothing"), 404, "not_found")
    answer = api.call("PUT", "/messages")
    _is_error(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_slash_at_the_end_does_not_matter(api: Api):
    assert api.get("/messages/").status_code == 200
