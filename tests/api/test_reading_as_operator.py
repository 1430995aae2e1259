"""Operators read everything, with `crm` as a filter and in each row; what CRMs see stays as it is."""

import pytest

from .conftest import DRAFT, Api

NUMBER = "+12025550188"


@pytest.fixture
def other(api: Api) -> dict[str, str]:
    """The headers of a second CRM, which may use all devices too."""
    _, key = api.world.add_crm("other")
    return api.world.as_crm(key)


def read(api: Api, path: str, headers: dict[str, str] | None = None, **query: str):
    answer = api.get(path, api.operator if headers is None else headers, **query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_messages_of_all_crms_with_whose_each_is(api: Api, other):
    first, second = api.send(), api.send(other)
    api.receive("a", sender=NUMBER)
    found = read(api, "/messages")["data"]
    assert [one["crm"] for one in found] == [None, "other", "clinic"]
    assert [one["id"] for one in found[1:]] == [second, first]
    receivers = [one["crm"] for one in found[0]["received_by"]]
    assert sorted(receivers) == ["clinic", "other"]
    assert read(api, f"/messages/{second}")["crm"] == "other"
    assert read(api, f"/messages/{found[0]['id']}")["received_by"] == found[0]["received_by"]


def test_messages_are_filtered_by_crm_and_by_the_rest(api: Api, other):
    first, second = api.send(reference="r"), api.send(other)
    api.receive("a", sender=NUMBER)
    assert [
        one["id"] for one in read(api, "/messages", crm="other", direction="outbound")["data"]
    ] == [second]
    by_id = read(api, "/messages", crm=api.world.crm_id, reference="r")["data"]
    assert [one["id"] for one in by_id] == [first]
    assert len(read(api, "/messages", direction="inbound")["data"]) == 1
    assert len(read(api, "/messages", status="dispatched")["data"]) == 2
    assert len(read(api, "/messages", q=NUMBER[1:])["data"]) == 1
    assert api.get("/messages", api.operator, crm="nobody").status_code == 404


def test_messages_of_all_crms_come_in_pages(api: Api, other):
    wanted = [api.send(headers) for headers in (api.crm, other) * 3][::-1]
    found, cursor = [], {}
    while True:
        page = read(api, "/messages", limit="2", **cursor)
        found += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == wanted


def test_events_of_all_crms_in_one_order_with_whose_each_is(api: Api, other):
    for headers in (api.crm, other, api.crm):
        message_id = api.send(headers)
        api.call("DELETE", f"/messages/{message_id}", headers)
    whole = read(api, "/events")
    assert [one["crm"] for one in whole["data"]] == ["clinic", "other", "clinic"]
    assert whole["data"][0]["crm_id"] == api.world.crm_id
    found, after = [], {}
    for _ in range(4):
        page = read(api, "/events", limit="1", **after)
        found += [one["id"] for one in page["data"]]
        after = {"after": page["next_cursor"]}
    assert found == [one["id"] for one in whole["data"]]
    assert [one["crm"] for one in read(api, "/events", crm="other")["data"]] == ["other"]
    assert api.get("/events", api.operator, after=f"evt_{'f' * 32}").status_code == 404


def test_webhooks_and_deliveries_of_all_crms(api: Api, other):
    hooks = {}
    for name, headers in (("clinic", api.crm), ("other", other)):
        hook = api.post("/webhooks", {"url": f"https://8.8.8.8/{name}"}, headers).json
        hooks[name] = (
            hook["id"],
            api.post(f"/webhooks/{hook['id']}/test", headers=headers).json["id"],
        )
    found = read(api, "/webhooks")["data"]
    assert [(one["id"], one["crm"]) for one in found] == [(hooks[name][0], name) for name in hooks]
    (one,) = read(api, "/webhooks", crm="other")["data"]
    assert one["id"] == hooks["other"][0]
    for name, (hook_id, delivery_id) in hooks.items():
        assert read(api, f"/webhooks/{hook_id}")["crm"] == name
        (listed,) = read(api, f"/webhooks/{hook_id}/deliveries")["data"]
        assert (listed["id"], listed["crm"]) == (delivery_id, name)
        assert read(api, f"/deliveries/{delivery_id}")["crm"] == name


def test_devices_and_figures_of_one_crm(api: Api):
    api.world.add_device("phone-2")
    _, key = api.world.add_crm("small", ["phone-2"])
    api.send(api.world.as_crm(key))
    assert [one["device_id"] for one in read(api, "/devices")["data"]] == ["phone-1", "phone-2"]
    (one,) = read(api, "/devices", crm="small")["data"]
    assert one["device_id"] == "phone-2"
    assert read(api, "/stats", crm="small")["queue"]["queued_count"] == 1
    assert read(api, "/stats", crm="clinic")["queue"]["queued_count"] == 0


def test_a_crm_gets_no_filter_and_sees_nobodys_name(api: Api):
    message_id = api.send()
    api.receive("a")
    for path in ("/messages", "/events", "/webhooks", "/devices", "/stats"):
        refused = api.get(path, crm="clinic")
        assert (refused.status_code, list(refused.json["details"])) == (422, ["crm"])
    (sent,) = read(api, "/messages", api.crm, direction="outbound")["data"]
    (received,) = read(api, "/messages", api.crm, direction="inbound")["data"]
    for shown in (sent, received, read(api, f"/messages/{message_id}", api.crm)):
        assert not {"crm", "crm_id", "received_by"} & set(shown)
    for event in read(api, "/events", api.crm)["data"]:
        assert list(event) == ["id", "type", "timestamp", "data"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/messages"),
        ("POST", "/messages/batch"),
        ("POST", "/messages/preview"),
        ("DELETE", "/messages/x"),
        ("POST", "/messages/x/resend"),
        ("POST", "/webhooks"),
        ("PATCH", "/webhooks/x"),
        ("DELETE", "/webhooks/x"),
        ("POST", "/webhooks/x/test"),
        ("POST", "/webhooks/x/rotate-secret"),
        ("POST", "/webhooks/x/recover"),
        ("POST", "/deliveries/x/replay"),
    ],
)
def test_an_operator_who_writes_as_a_crm_is_told_which_key_is_needed(api: Api, method, path):
    refused = api.call(method, path, api.operator, json=DRAFT)
    assert (refused.status_code, refused.json["code"]) == (401, "unauthorized")
    text = "this is an operator's key; this URL needs a CRM's key (crm_live_…)"
    assert refused.json["message"] == text


def test_a_key_of_another_kind_is_named_whether_or_not_it_is_right(api: Api):
    needs_operator = "this URL needs an operator's key"
    needs_crm = "this URL needs a CRM's key"
    needs_device = "this URL needs a device's name and password"
    login = api.world.as_device()
    calls = [
        ("GET", "/api/v1/crms", api.crm, "this is a CRM's key", needs_operator),
        ("GET", "/api/v1/crms", bearer("crm_live_wrong"), "this is a CRM's key", needs_operator),
        ("GET", "/api/v1/crms", login, "this is a device's login", needs_operator),
        ("POST", "/api/v1/messages", login, "this is a device's login", needs_crm),
        ("POST", "/api/v1/messages", bearer("gw_live_x"), "this is a device's login", needs_crm),
        (
            "GET",
            "/api/v1/messages",
            bearer("gw_live_x"),
            "this is a device's login",
            "or an operator's key",
        ),
        ("POST", "/api/sms", api.crm, "this is a CRM's key", needs_device),
        ("POST", "/api/sms", api.operator, "this is an operator's key", needs_device),
        ("POST", "/sendMessage", api.operator, "this is an operator's key", needs_crm),
        ("POST", "/registerCRM", api.crm, "this is a CRM's key", needs_operator),
        ("PUT", "/devices/phone-1/crms/clinic", api.crm, "this is a CRM's key", needs_operator),
        (
            "GET",
            "/ws",
            api.operator,
            "this is an operator's key",
            "a device's token or a CRM's key",
        ),
    ]
    for method, path, headers, given, needed in calls:
        refused = api.world.client.open(path, method=method, headers=headers, json={"a": 1})
        assert refused.status_code == 401, (path, refused.text)
        assert given in refused.json["message"], path
        assert needed in refused.json["message"], path
    refused = api.world.client.post("/api/v1/gateway/heartbeat", headers=api.crm)
    assert refused.json["error"].startswith("this is a CRM's key; this URL needs a device's")


def test_a_wrong_key_of_the_right_kind_is_a_wrong_key(api: Api):
    for path, key in (("/messages", "crm_live_x"), ("/crms", "op_live_x"), ("/messages", "x")):
        refused = api.get(path, bearer(key))
        assert refused.json["message"] == "no API key, or a wrong one"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}
