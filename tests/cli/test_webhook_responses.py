"""`webhook test` shows what the receiver responds."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from smsgw import clock, program
from smsgw.allowed_addresses import parse_allowed
from smsgw.core.webhooks import hints
from smsgw.delivery.worker import Worker
from smsgw.settings import Settings
from smsgw.store.db import Database
from smsgw.store.models import WebhookEndpoint
from tests.cli.conftest import Ask, Run
from tests.delivery.receiver import Answer, Receiver
from tests.running import until

SECONDS = 60


@pytest.fixture
def worker(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A worker that may reach receivers on this machine."""
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    stop = threading.Event()
    allowed = replace(settings, webhook_allowed_networks=(parse_allowed("127.0.0.0/8"),))
    thread = threading.Thread(target=Worker(allowed, database).run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(SECONDS)


def _added(ask: Ask, url: str) -> str:
    ask("crm", "add", "clinic")
    return str(ask("webhook", "add", "--crm", "clinic", url)["id"])


@pytest.mark.usefixtures("worker")
def test_a_test_shows_the_response_and_its_exit_code_says_whether_it_was_delivered(
    run: Run, ask: Ask
):
    with Receiver() as receiver:
        webhook = _added(ask, receiver.url)
        good = run("webhook", "test", webhook, "--wait", "60")
        assert good.exit_code == 0, good.output
        assert good.stdout.startswith("HTTP 204 after 0.")
        receiver.answer = lambda _: Answer(404, body=b"no such \x1b[31mhook\nsecond line\n")
        bad = run("webhook", "test", webhook, "--wait", "60")
        assert bad.exit_code == 1
        first, *response = bad.stdout.splitlines()
        assert first.startswith("HTTP 404 after 0.")
        assert response == ["  no such  [31mhook", "  second line"]
        answer: Any = ask("webhook", "deliveries", webhook)
        assert [one["status"] for one in answer["data"]] == ["discarded", "delivered"]


@pytest.mark.usefixtures("worker")
def test_the_lists_say_what_a_failing_receiver_answers(ask: Ask):
    with Receiver(lambda _: Answer(401)) as receiver:
        webhook = _added(ask, receiver.url)
        sent = ask("send", "--to", "+12025550100", "--content", "Hello", "--crm", "clinic")
        ask("cancel", sent["id"])
        until(lambda: ask("webhook", "list")["data"][0]["last_failure"], "the first failure")
        (listed,) = ask("webhook", "list")["data"]
        (delivery,) = ask("webhook", "deliveries", webhook)["data"]
    assert (listed["crm"], listed["last_failure"]) == ("clinic", "HTTP 401")
    assert (delivery["event_type"], delivery["result"]) == ("message.cancelled", "HTTP 401")


def test_a_delivery_to_a_paused_endpoint_names_the_end_of_the_pause(
    ask: Ask, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    ask("crm", "add", "clinic")
    webhook = ask("webhook", "add", "--crm", "clinic", "https://127.0.0.1:9/hook")["id"]
    sent = ask("send", "--to", "+12025550100", "--content", "Hello", "--crm", "clinic")
    ask("cancel", sent["id"])
    paused_until = clock.now() + timedelta(hours=1)
    with database.transaction() as session:
        session.get_one(WebhookEndpoint, webhook).paused_until = paused_until
    (delivery,) = ask("webhook", "deliveries", webhook)["data"]
    assert delivery["next_attempt_at"] == clock.rfc3339(paused_until)


@pytest.mark.usefixtures("worker")
def test_a_test_says_why_there_was_no_response(run: Run, ask: Ask):
    with Receiver() as receiver:
        webhook = _added(ask, receiver.url)
    gone = run("webhook", "test", webhook, "--wait", "60")
    assert gone.exit_code == 1
    assert gone.stdout.startswith("No response after 0.")
    assert "connection" in gone.stdout


def test_a_test_without_a_worker_says_so_at_once(run: Run, ask: Ask, monkeypatch):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    webhook = _added(ask, "http://127.0.0.1:9/hook")
    ended = run("webhook", "test", webhook, "--wait", "300")
    assert ended.exit_code == 1
    assert f"see whether the server runs ({program.line('doctor')})" in ended.stdout


@pytest.mark.parametrize(
    ("answered", "words"),
    [
        (302, "Redirects are not followed"),
        (400, "refuses the event"),
        (401, "Check a signature"),
        (404, "nothing at this path"),
        (429, "less often"),
        (500, "look at its log"),
        ("timeout", "did not answer in time"),
        ("tls", "certificate"),
        ("connection_refused", "start the receiver"),
    ],
)
def test_what_a_receiver_answered_comes_with_what_to_do(answered, words):
    is_code = isinstance(answered, int)
    last = {
        "status_code": answered if is_code else None,
        "error": None if is_code else answered,
    }
    pending = {"id": "dlv_1", "endpoint_id": "whe_1", "status": "pending", "last_attempt": last}
    pending["is_failing"] = True
    assert words in hints.hint(last)
    tried = hints.next_step({**pending, "is_enabled": True})
    assert tried.endswith(program.line("webhook test whe_1"))
    off = hints.next_step({**pending, "is_enabled": False})
    assert off.endswith(program.line("webhook enable whe_1"))
    unsent = {**pending, "is_enabled": True, "last_attempt": None}
    assert "waits while the webhook fails" in hints.next_step(unsent)
    assert hints.next_step({**unsent, "is_failing": False}) is None
    ended = hints.next_step({**pending, "is_enabled": True, "status": "discarded"})
    assert ended.endswith(program.line("webhook replay dlv_1"))


def test_what_is_sent_again_and_what_needs_an_enabled_webhook_is_said_in_words(
    run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    webhook = _added(ask, "http://127.0.0.1:9/hook")
    sent = ask("send", "--to", "+12025550100", "--content", "Hello", "--crm", "clinic")
    ask("cancel", sent["id"])
    (delivery,) = ask("webhook", "deliveries", webhook)["data"]
    assert f"{delivery['id']} is sent now" in run("webhook", "replay", delivery["id"]).stdout
    assert "Nothing was missed" in run("webhook", "recover", webhook, "--since", "1h").stdout
    ask("webhook", "disable", webhook)
    refused = run("webhook", "test", webhook)
    assert refused.output.strip().endswith(
        f"enable it first with {program.line('webhook enable ID')}"
    )
    (waiting,) = ask("webhook", "deliveries", webhook)["data"]
    assert (waiting["status"], waiting["next_attempt_at"]) == ("pending", None)
