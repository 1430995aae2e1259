"""/openapi.json and /docs: complete, true, and from this server alone."""

import json
import re
from dataclasses import replace
from urllib.parse import urljoin

import pytest
from jsonschema_rs import Draft202012Validator

from smsgw.core.events.recording import TYPES

from ..conftest import application
from ..running import ROOT
from .conftest import Api, close_answers

FOR_CONTRIBUTORS = {"architecture", "releasing"}
GUIDES = sorted({path.stem for path in (ROOT / "docs").glob("*.md")} - FOR_CONTRIBUTORS)
METHODS = ("get", "post", "patch", "delete", "put")


@pytest.fixture
def document(api: Api):
    answer = api.world.client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json


def _operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def _documented(api: Api) -> set[str]:
    return {
        f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
        for rule in api.world.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        and getattr(api.world.app.view_functions[rule.endpoint], "_apidoc", None) is not None
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def test_every_url_of_the_contract_is_in_it(document):
    wanted = {
        "GET /api/sms", "POST /api/sms",
        "POST /api/v1/messages", "POST /api/v1/messages/batch", "POST /api/v1/messages/preview",
        "GET /api/v1/messages", "GET /api/v1/messages/{message_id}", "DELETE /api/v1/messages/{message_id}",
        "POST /api/v1/messages/{message_id}/resend",
        "GET /api/v1/devices", "GET /api/v1/devices/{device_id}", "POST /api/v1/devices",
        "PATCH /api/v1/devices/{device_id}", "DELETE /api/v1/devices/{device_id}",
        "POST /api/v1/devices/{device_id}/rotate",
        "GET /api/v1/crms", "POST /api/v1/crms", "GET /api/v1/crms/{crm_id}", "PATCH /api/v1/crms/{crm_id}",
        "DELETE /api/v1/crms/{crm_id}", "POST /api/v1/crms/{crm_id}/rotate",
        "GET /api/v1/webhooks", "POST /api/v1/webhooks", "GET /api/v1/webhooks/{webhook_id}",
        "PATCH /api/v1/webhooks/{webhook_id}", "DELETE /api/v1/webhooks/{webhook_id}",
        "POST /api/v1/webhooks/{webhook_id}/test", "POST /api/v1/webhooks/{webhook_id}/rotate-secret",
        "GET /api/v1/webhooks/{webhook_id}/deliveries", "POST /api/v1/webhooks/{webhook_id}/recover",
        "GET /api/v1/deliveries/{delivery_id}", "POST /api/v1/deliveries/{delivery_id}/replay",
        "GET /api/v1/events", "GET /api/v1/stats",
    }  # fmt: skip
    assert wanted <= {name for name, _ in _operations(document)}


def test_every_route_of_the_doors_is_in_it(api: Api, document):
    assert _documented(api)
    assert _documented(api) <= {name for name, _ in _operations(document)}


def test_every_operation_has_words_a_guard_and_the_one_error(document):
    for name, operation in _operations(document):
        assert operation["summary"], name
        assert operation["security"], name
        assert "default" in operation["responses"], name
        assert "401" in operation["responses"], name


def test_every_operation_has_a_name_for_generated_clients(document):
    names = [operation["operationId"] for _, operation in _operations(document)]
    names += [item["post"]["operationId"] for item in document["webhooks"].values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)*", name) for name in names)
    assert {
        "sendMessage",
        "sendMessages",
        "listMessages",
        "createWebhook",
        "onMessageReceived",
    } <= set(names)
    assert "rotateWebhookSecret" in names


def test_what_the_server_sends_is_no_part_of_the_api_of_webhooks(document):
    tags = {tag["name"] for tag in document["tags"]}
    used = {tag for _, operation in _operations(document) for tag in operation["tags"]}
    for item in document["webhooks"].values():
        assert item["post"]["security"] == []
        assert set(item["post"]["tags"]) <= tags - used


def _reachable(document, node) -> set[str]:
    found, left = set(), [node]
    while left:
        text = json.dumps(left.pop())
        for name in set(re.findall(r'"#/components/schemas/(\w+)"', text)) - found:
            found.add(name)
            left.append(document["components"]["schemas"][name])
    return found


def test_answers_may_grow_and_requests_are_closed(document):
    schemas = document["components"]["schemas"]
    taken = _reachable(document, [one.get("requestBody") for _, one in _operations(document)])
    given = _reachable(document, [one["responses"] for _, one in _operations(document)])
    given |= _reachable(document, document["webhooks"])
    assert not taken & given
    assert {"Message", "Event", "Webhook", "Error"} <= given
    for name in given:
        text = json.dumps(schemas[name])
        assert '"additionalProperties": false' not in text, name
        assert '"enum"' not in text, name
    for name in taken:
        assert schemas[name]["additionalProperties"] is False, name
    event = {
        "id": "evt_1",
        "type": "message.seen",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {},
        "new": 1,
    }
    assert Draft202012Validator({**schemas["Event"], "components": {}}).is_valid(event)


def test_patterns_are_ecma_script(document):
    patterns = re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(document))
    assert len(patterns) >= 4
    assert not any("\\Z" in pattern or "\\A" in pattern for pattern in patterns)


def test_the_document_names_the_servers_url_and_the_licence(api: Api):
    known = replace(api.world.settings, public_url="https://sms.example.org")
    with application(known) as app:
        made = app.test_client().get("/openapi.json").json
    assert [server["url"] for server in made["servers"]] == ["https://sms.example.org", "/"]
    assert made["info"]["license"]["identifier"] == "Apache-2.0"


def test_every_body_and_every_answer_has_an_example_that_fits_its_schema(document):
    seen = 0
    close_answers(document)
    for name, content in _contents(document):
        examples = [one["value"] for one in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        assert examples, f"{name} has no example"
        schema = {**content["schema"], "components": document["components"]}
        for example in examples:
            faults = [error.message for error in Draft202012Validator(schema).iter_errors(example)]
            assert faults == [], name
            seen += 1
    assert seen > 60


def test_the_messages_of_the_examples_are_taken_as_they_stand(api: Api, document):
    body = document["paths"]["/api/v1/messages"]["post"]["requestBody"]
    for name, example in body["content"]["application/json"]["examples"].items():
        answer = api.post("/messages", example["value"])
        assert answer.status_code == 202, (name, answer.json)


def _contents(document):
    items = list(_operations(document))
    items += [(name, item["post"]) for name, item in document["webhooks"].items()]
    for name, operation in items:
        bodies = [("body", operation["requestBody"])] if "requestBody" in operation else []
        responses = operation["responses"].items()
        bodies += [(status, response) for status, response in responses if status[0] == "2"]
        for where, body in bodies:
            for content in body.get("content", {}).values():
                yield f"{name} {where}", content


def test_what_the_contract_shows_in_json_has_an_example(document):
    """The keys of each JSON of the contract stand together in some example."""
    shown = [
        {"to", "content", "device_id", "send_at", "expires_at", "priority"},
        {"to", "content", "reference", "ttl", "metadata"},
        {"messages"},
        {"data"},
        {"data", "next_cursor"},
        {"id", "direction", "device_id", "from", "to", "content", "encoding", "segments", "status", "reason",
         "reason_class", "reference", "metadata", "priority", "send_at", "expires_at", "created_at", "updated_at",
         "sent_at", "delivered_at"},
        {"received_at", "device_received_at", "sms_sent_at"},
        {"history", "dispatches", "waiting_for"},
        {"status", "reason", "at", "device_id", "dispatch_id"},
        {"id", "device_id", "status", "handed_out_at", "hand_out_count", "acknowledged_at"},
        {"hop", "since", "device_id", "text"},
        {"may_duplicate"},
        {"online", "last_seen_at", "app_version", "queued_count", "in_flight_count"},
        {"device_id", "username", "password", "url"},
        {"id", "name", "api_key", "webhook"},
        {"id", "secret"},
        {"url", "events", "device_ids", "enabled"},
        {"since", "until"},
        {"error", "code", "message", "details"},
        {"id", "type", "timestamp", "data"},
    ]  # fmt: skip
    there = list(_objects([content for _, content in _contents(document)]))
    there += list(_objects(document["components"]["responses"]))
    for keys in shown:
        assert any(keys <= set(found) for found in there), keys


def _objects(value):
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def test_every_event_type_is_a_webhook_with_its_headers(document):
    assert set(document["webhooks"]) == set(TYPES)
    for item in document["webhooks"].values():
        names = {parameter["name"] for parameter in item["post"]["parameters"]}
        assert names == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_all_references_lead_somewhere(document):
    for found in _objects(document):
        if isinstance(found.get("$ref"), str):
            place = document
            for step in found["$ref"].removeprefix("#/").split("/"):
                place = place[step]


def test_real_answers_fit_their_schemas(api: Api, document):
    api.receive("a")
    message_id = api.send(metadata={"a": 1}, reference="r")
    api.poll()
    for path, name in [
        ("/messages", "MessagePage"),
        (f"/messages/{message_id}", "WholeMessage"),
        ("/devices", "Devices"),
        ("/events", "Feed"),
        ("/stats", "Stats"),
        ("/webhooks", "Webhooks"),
    ]:
        schema = {
            "$ref": f"#/components/schemas/{name}",
            "components": document["components"],
        }
        shown = api.get(path).json
        assert [error.message for error in Draft202012Validator(schema).iter_errors(shown)] == []
        fields = document["components"]["schemas"][name]["properties"]
        assert set(shown) <= set(fields), name
    schemas = document["components"]["schemas"]
    fields = set(schemas["Device"]["properties"])
    assert set(api.get("/devices/phone-1", api.operator).json) == fields
    assert set(api.get("/devices/phone-1").json) == fields - {"crm_id", "crm", "approved"}
    assert set(api.get("/crms/clinic", api.operator).json) == set(schemas["Crm"]["properties"])
    (message,) = api.get("/messages", direction="inbound").json["data"]
    whose = {"crm_id", "crm", "received_by"}
    assert set(message) == set(schemas["Message"]["properties"]) - whose
    (message,) = api.get("/messages", api.operator, direction="inbound").json["data"]
    assert set(message) == set(schemas["Message"]["properties"])


def test_the_page_asks_nobody_else_and_has_nothing_inline(api: Api):
    for path in ("/", "/docs", "/docs/", *(f"/docs/{name}" for name in GUIDES)):
        page = api.world.client.get(path)
        assert page.status_code == 200
        assert page.mimetype == "text/html"
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert (
            re.findall(r"(?:src|href)=\"(?!/|#main|[a-z-]+\.md(?:#[a-z0-9-]+)?\")", page.text) == []
        )
        assert re.findall(r"<style|style=|\son[a-z]+=|<script>", page.text) == []
        for link in re.findall(r"(?:src|href)=\"(/docs/[^\"]+)\"", page.text):
            asset = api.world.client.get(link)
            assert (asset.status_code, asset.headers["X-Content-Type-Options"]) == (200, "nosniff")


@pytest.mark.parametrize("name", GUIDES)
def test_each_page_of_docs_is_served_and_its_links_lead_somewhere(api: Api, document, name):
    source = (ROOT / "docs" / f"{name}.md").read_text()
    title = source.partition("\n")[0].removeprefix("# ")
    page = api.world.client.get(f"/docs/{name}")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert f"<h1>{title}</h1>" in page.text
    assert page.text.count("<table>") == len(re.findall(r"^\|-", source, re.MULTILINE))
    assert "<!--" not in page.text
    links = re.findall(r'<a href="([^"]+)"', page.text)
    assert {f"/docs/{other}" for other in GUIDES} <= set(links)
    for link in links:
        assert api.world.client.get(urljoin(f"/docs/{name}", link)).status_code == 200, link
    words = [document["info"]["description"], *(tag["description"] for tag in document["tags"])]
    assert any(f"(/docs/{name})" in text for text in words)


def test_the_viewers_licence_is_there(api: Api):
    assert "Apache License" in api.world.client.get("/docs/LICENSE").text


@pytest.mark.parametrize(
    "path",
    [
        *(f"/docs/{name}" for name in sorted(FOR_CONTRIBUTORS)),
        "/docs/nothing",
        "/docs/../docs.py",
        "/docs/%2e%2e/%2e%2e/docs.py",
    ],
)
def test_no_other_file_is_served(api: Api, path):
    assert api.world.client.get(path).status_code == 404


def test_the_introduction_has_a_curl_that_can_be_pasted(api: Api, document):
    text = document["info"]["description"]
    body = re.search(r"-d '(.+?)'", text).group(1)
    assert f"curl -X POST {api.world.settings.base_url}/api/v1/messages" in text
    assert api.call("POST", "/messages", data=body).status_code == 202
    assert "whsec_" in text


def test_bodies_say_that_they_are_strict(document):
    for name, operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or "$ref" not in content["schema"]:
            continue
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert schema["additionalProperties"] is False, name
