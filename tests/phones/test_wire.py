"""The stock app on the wire: what it sends, what it takes for success, and what it must never get."""

import base64
import gzip
import json

import pytest

from smsgw import ids
from smsgw.core.accounts import enrolment
from smsgw.core.devices import locking, registry
from smsgw.http.context import EXTENSION
from smsgw.http.guards import readings

from ..conftest import NOW
from .conftest import sms, update

AGENT = "Dalvik/2.1.0 (Linux; U; Android 9; SM-J330F Build/PPR1) medic.gateway.alert.generic/v1.8.1"
HEADERS = {
    "User-Agent": AGENT,
    "Accept": "application/json",
    "Accept-Charset": "utf-8",
    "Cache-Control": "no-cache",
    "Content-Type": "application/json",
    "Accept-Encoding": "gzip",
}


def basic(pair: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


def send(stage, body: bytes, **headers):
    own = {**HEADERS, **stage.world.as_device(), **headers}
    return stage.world.client.post("/api/sms", data=body, headers=own)


@pytest.mark.parametrize("path", ["/api/sms", "/api/sms/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_path_is_taken_with_and_without_a_slash_and_never_redirected(stage, path, method):
    answer = stage.world.client.open(
        path, method=method, data=b"{}", headers={**HEADERS, **stage.world.as_device()}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", ["//api/sms", "/api//sms", "/api/sms//", "/API/SMS", "/api/sms/x", "/api", ""]
)
def test_no_path_is_ever_redirected(stage, path):
    answer = stage.world.client.post(path, data=b"{}", headers=stage.world.as_device())
    assert answer.status_code in (200, 404, 405)


def test_the_check_of_the_settings(stage):
    answer = stage.world.client.get("/api/sms", headers=stage.world.as_device())
    assert answer.json == {"medic-gateway": True}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(b"phone-1:wrong"),
        basic(b"nobody:secret"),
        basic(b":"),
        basic(b"phone-1"),
        basic(b"phone-1\0:x"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer gw_live_" + "0" * 64},
        {"Authorization": "Nonsense"},
        {"Authorization": "Basic " + "A" * 4000},
    ],
)
def test_wrong_credentials_are_401_with_json_and_a_challenge(stage, method, headers):
    answer = stage.world.client.open("/api/sms", method=method, data=b"{}", headers=headers)
    assert answer.status_code == 401
    assert answer.json["error"] is True
    assert len(answer.json["message"]) < 60
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_a_disabled_phone_sees_401_at_its_check_and_403_at_its_poll(stage):
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").enabled = False
    check = stage.world.client.get("/api/sms", headers=stage.world.as_device())
    poll = stage.post({})
    assert (check.status_code, poll.status_code) == (401, 403)
    assert "disabled" in poll.json["message"]


def test_a_removed_phone_is_unknown(stage):
    with stage.world.database.transaction() as session:
        enrolment.remove(session, registry.get(session, "phone-1"), NOW)
    assert stage.post({}).status_code == 401


@pytest.mark.parametrize(
    "typed",
    [
        b"p%C3%A4ss%20w%40rd",
        b"p%25C3%25A4ss%2520w%2540rd",
        "päss w@rd".encode(),
        "päss w@rd".encode("latin-1"),
        b"p%E4ss%20w%40rd",
    ],
)
def test_a_password_is_read_in_every_way_a_phone_may_send_it(stage, typed):
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").secret_hash = ids.hash_secret("päss w@rd")
    answer = stage.world.client.post("/api/sms", json={}, headers=basic(b"phone-1:" + typed))
    assert answer.status_code == 200


def test_a_latin_1_password_that_happens_to_be_utf_8_is_read_as_both(stage):
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").secret_hash = ids.hash_secret("Ã©")
    answer = stage.world.client.post("/api/sms", json={}, headers=basic(b"phone-1:\xc3\xa9"))
    assert answer.status_code == 200


def test_a_password_with_a_colon_is_split_at_the_first(stage):
    with stage.world.database.transaction() as session:
        registry.get(session, "phone-1").secret_hash = ids.hash_secret("a:b:c")
    answer = stage.world.client.post("/api/sms", json={}, headers=basic(b"phone-1:a:b:c"))
    assert answer.status_code == 200


def test_the_likeliest_reading_comes_first_and_there_are_few():
    assert readings("plain") == ["plain"]
    assert readings("p%40ss") == ["p%40ss", "p@ss"]
    assert len(readings("%25C3%25A4" * 5)) <= 6


def test_a_key_works_as_a_bearer_token_and_as_a_password(stage):
    with stage.world.database.transaction() as session:
        _, key = enrolment.add_with_key(session, "keyed", None, None, NOW)
    bearer = {"Authorization": f"Bearer {key}"}
    assert stage.world.client.get("/api/sms", headers=bearer).status_code == 200
    assert stage.poll(headers=stage.world.as_device("keyed", key)) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": [], "updates": []},
        {"messages": None, "updates": None},
        {"messages": {}, "updates": {}},
        {"messages": ""},
        {"other": 1},
    ],
)
def test_nothing_is_brought_in_many_ways(stage, body):
    answer = stage.post(body)
    assert (answer.status_code, answer.json) == (200, {"messages": []})
    assert stage.quarantined() == []


@pytest.mark.parametrize("body", [{"messages": "x"}, {"updates": 5}, {"messages": {"id": 1}}])
def test_a_list_that_is_none_is_one_bad_item(stage, body):
    assert stage.post(body).json == {"messages": []}
    assert len(stage.quarantined()) == 1


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b"[" * 100_000, b"{"]
)
def test_what_is_no_json_object_is_400(stage, body):
    answer = send(stage, body)
    assert answer.status_code == 400
    assert answer.json["error"] is True
    assert answer.json["message"]


def test_a_byte_order_mark_is_no_matter(stage):
    assert send(stage, b"\xef\xbb\xbf{}").status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "", "application/json; charset=utf-16"])
def test_the_content_type_is_no_matter(stage, kind):
    assert send(stage, b"{}", **{"Content-Type": kind}).status_code == 200


def test_a_body_of_two_mebibytes_is_taken(stage):
    batch = [sms("x" * 60_000) for _ in range(36)]
    body = json.dumps({"messages": batch}).encode()
    assert len(body) > 2 * 1024 * 1024
    assert send(stage, body).status_code == 200
    assert len(stage.inbox()) == 36


def test_a_body_over_the_limit_is_413_with_json(stage):
    answer = send(stage, b" " * (9 * 1024 * 1024))
    assert (answer.status_code, answer.json["error"]) == (413, True)


def test_a_gzip_body_is_understood(stage):
    body = gzip.compress(json.dumps({"messages": [sms("packed")]}).encode())
    assert send(stage, body, **{"Content-Encoding": "gzip"}).status_code == 200
    assert [kept.content for kept in stage.inbox()] == ["packed"]


def test_a_gzip_body_of_several_members_is_read_to_its_end(stage):
    text = json.dumps({"messages": [sms("packed")]}).encode()
    body = gzip.compress(text[:9]) + gzip.compress(text[9:])
    assert send(stage, body, **{"Content-Encoding": "gzip"}).status_code == 200
    assert [kept.content for kept in stage.inbox()] == ["packed"]
    rest = gzip.compress(text) + b"rest"
    assert send(stage, rest, **{"Content-Encoding": "gzip"}).status_code == 400


def test_a_gzip_bomb_is_413_and_a_broken_one_400(stage):
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), compresslevel=1)
    assert send(stage, bomb, **{"Content-Encoding": "gzip"}).status_code == 413
    assert send(stage, b"no gzip", **{"Content-Encoding": "gzip"}).status_code == 400
    half = gzip.compress(b"{}")[:-5]
    assert send(stage, half, **{"Content-Encoding": "gzip"}).status_code == 400


def test_another_encoding_is_415(stage):
    assert send(stage, b"{}", **{"Content-Encoding": "br"}).status_code == 415


@pytest.mark.parametrize(("tells_the_end", "status"), [(True, 200), (False, 411)])
def test_a_chunked_body_is_taken_from_a_server_that_tells_its_end(stage, tells_the_end, status):
    answer = stage.world.client.post(
        "/api/sms",
        data=b"{}",
        headers={**stage.world.as_device(), "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": tells_the_end},
    )
    assert answer.status_code == status
    assert (answer.json.get("error") is None) == tells_the_end


def test_a_chunked_body_above_the_limit_is_413_and_not_cut(stage):
    answer = stage.world.client.post(
        "/api/sms",
        data=b" " * (8 * 1024 * 1024 + 1),
        headers={**stage.world.as_device(), "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 413


def test_an_answer_above_a_kibibyte_is_packed_when_asked(stage):
    stage.queue(3, content="x" * 450)
    answer = send(stage, b"{}")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(answer.data))["messages"]) == 3
    stage.queue(3, content="x" * 450)
    plain = stage.post({})
    assert "Content-Encoding" not in plain.headers
    assert len(plain.json["messages"]) == 3


def test_a_small_answer_is_not_packed(stage):
    assert "Content-Encoding" not in send(stage, b"{}").headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_405_with_json(stage, method):
    answer = stage.world.client.open("/api/sms", method=method, headers=stage.world.as_device())
    assert (answer.status_code, answer.json["error"]) == (405, True)


def test_the_app_version_and_the_last_poll_are_remembered_at_the_next_write(stage):
    send(stage, b"{}")
    assert stage.device().last_seen_at is None
    sightings = stage.world.app.extensions[EXTENSION].last_seen_writer.sightings
    with stage.world.database.transaction() as session:
        assert sightings.write(session) == 1
        assert sightings.write(session) == 0
    assert (stage.device().last_seen_at, stage.device().app_version) == (NOW, "v1.8.1")


def test_a_busy_device_does_not_keep_the_last_poll_of_others_from_being_written(stage):
    headers, database = stage.world.add_device("phone-2"), stage.world.database
    send(stage, b"{}")
    stage.post({}, headers)
    sightings = stage.world.app.extensions[EXTENSION].last_seen_writer.sightings
    if not database.is_sqlite:
        with database.transaction() as polling:
            locking.lock(polling, "phone-1")
            write_free(database, sightings)
        assert stage.device().last_seen_at is None
    write_free(database, sightings)
    with database.reading() as session:
        seen = [registry.get(session, name).last_seen_at for name in ("phone-1", "phone-2")]
    assert (seen, len(sightings)) == ([NOW, NOW], 0)


def write_free(database, sightings):
    for part in sightings.split():
        with database.transaction() as session:
            part.write_free(session)
        sightings.put_back(part)


def test_real_bytes_of_the_app_are_taken(stage):
    body = (
        b'{"messages":[{"sms_received":1772366400000,"sms_sent":0,"content":"a\\/b \\u2028",'
        b'"from":"+4915198765432","id":"6f1a9f6e-9e5c-4d0c-8f0d-0d7f3f1f2a11"}],'
        b'"updates":[{"status":"PENDING","id":"3e105262-070c-4913-949b-e7aca4f42b71"}]}'
    )
    answer = send(stage, body)
    assert (answer.status_code, answer.json) == (200, {"messages": []})
    assert [kept.content for kept in stage.inbox()] == ["a/b \u2028"]
    assert stage.device().unknown_report_count == 1


def test_an_error_inside_is_500_with_short_json_and_the_batch_stays_on_the_phone(
    stage, monkeypatch
):
    _, dispatch_id = stage.send()

    def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("smsgw.core.messages.reports.apply", broken)
    answer = stage.post({"messages": [sms()], "updates": [update(dispatch_id, "SENT")]})
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert stage.inbox() == []
