"""`device`, `crm`, `operator`, `quarantine`."""

import json
import re
from datetime import timedelta

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, ownership
from smsgw.core.devices import pairing, registry
from smsgw.core.messages import quarantine
from smsgw.core.messages.quarantine import Unreadable
from smsgw.store.db import Database
from smsgw.store.models import DeviceSilence
from tests.cli.conftest import Ask, Run
from tests.conftest import NOW


def test_a_device_is_added_with_what_is_typed_into_the_phone(ask: Ask):
    made = ask("device", "add", "front.desk-1", "--phone", "+49 151 12345678")
    assert made["device_id"] == made["username"] == "front.desk-1"
    assert re.fullmatch(r"[a-km-np-z2-9]{20}", made["password"])
    assert f"front.desk-1:{made['password']}@" in made["url"]
    (listed,) = ask("device", "list")
    assert listed["phone"] == "+4915112345678"
    assert "password" not in listed


def test_the_list_and_the_doctor_show_which_phone_is_silent_and_what_to_do(
    run: Run, ask: Ask, database
):
    ask("device", "add", "p")
    with database.transaction() as session:
        session.add(
            DeviceSilence(device_id="p", reason="no_delivery_reports", since=NOW, announced_at=NOW)
        )
    (listed,) = ask("device", "list")
    assert listed["silences"][0]["reason"] == "no_delivery_reports"
    assert run("device", "list").stdout.endswith("\tno_delivery_reports\n")
    lines = run("doctor").stdout.splitlines()
    found = [number for number, line in enumerate(lines) if "has had no delivery report" in line]
    assert "-> see whether they arrive" in lines[found[0] + 1]


def test_a_device_with_a_key(ask: Ask):
    made = ask("device", "add", "p", "--key")
    assert re.fullmatch(r"gw_live_[0-9a-f]{64}", made["password"])
    assert made["api_key"] == made["password"]
    assert made["websocket_url"].startswith("ws://")
    assert made["websocket_url"].endswith("/cable")
    assert made["version"] == "1.0"


def test_a_key_is_shown_as_a_code_to_scan_and_as_lines_to_copy(run: Run, monkeypatch):
    monkeypatch.setenv("SMSGW_PUBLIC_URL", "https://sms.example.org")
    lines = run("device", "add", "p", "--key").stdout.splitlines()
    assert lines[-3] == "API Base URL: https://sms.example.org"
    assert lines[-2] == "WebSocket URL: wss://sms.example.org/cable"
    assert re.fullmatch(r"API Key: gw_live_[0-9a-f]{64}", lines[-1])
    assert sum("\u2588" in line or "\u2580" in line for line in lines) > 10


def test_registration_is_opened_for_a_while_and_closed_again(ask: Ask, settings):
    def is_open() -> bool:
        database = Database(settings.database_url)
        with database.reading() as session:
            opened = pairing.PHONES.is_open(session, settings, clock.now())
        database.close()
        return opened

    assert not is_open()
    assert ask("device", "pair", "--minutes", "5")["minutes"] == 5
    assert is_open()
    ask("device", "pair", "--minutes", "0")
    assert not is_open()


@pytest.mark.parametrize("minutes", ["-1", "1441", "x"])
@pytest.mark.parametrize("kind", ["device", "crm"])
def test_minutes_are_a_day_at_most(run: Run, kind: str, minutes: str):
    assert run(kind, "pair", "--minutes", minutes).exit_code == 2


def test_phones_and_crms_are_let_in_each_by_a_command_of_its_own(ask: Ask, settings, database):
    def is_open() -> tuple[bool, bool]:
        with database.reading() as session:
            phones, programs = pairing.PHONES, pairing.CRMS
            now = clock.now()
            return phones.is_open(session, settings, now), programs.is_open(session, settings, now)

    ask("device", "pair")
    assert is_open() == (True, False)
    ask("device", "pair", "--minutes", "0")
    assert ask("crm", "pair", "--minutes", "5")["url"].endswith("/registerCRM")
    assert is_open() == (False, True)


def test_who_registered_itself_is_listed_and_approved(ask: Ask, run: Run, database: Database):
    with database.transaction() as session:
        ownership.add_waiting(session, "stranger", None, None, NOW)
        crms.add_unapproved(session, "program", NOW)
    assert [one["approved"] for one in ask("device", "list")] == [False]
    assert [one["approved"] for one in ask("crm", "list")] == [False]
    findings = {one["check"]: one for one in json.loads(run("doctor", "--json").stdout)["checks"]}
    assert "device approve stranger" in findings["device stranger"]["advice"]
    assert "crm approve" in findings["crm program"]["advice"]
    assert ask("device", "approve", "stranger") == {"device_id": "stranger", "approved": True}
    assert ask("crm", "approve", "program")["approved"] is True
    assert [one["approved"] for one in ask("device", "list") + ask("crm", "list")] == [True] * 2
    assert run("device", "approve", "nobody").exit_code == 1
    assert run("crm", "approve", "nobody").exit_code == 1


def test_a_device_is_assigned_to_a_crm_and_back_to_the_operators(ask: Ask, run: Run):
    ask("device", "add", "p")
    made = ask("crm", "add", "clinic")
    assert ask("device", "assign", "p", "--crm", "clinic") == {"device_id": "p", "crm": "clinic"}
    (listed,) = ask("device", "list")
    assert (listed["crm"], listed["crm_id"]) == ("clinic", made["id"])
    assert ask("device", "assign", "p", "--operators")["crm"] is None
    assert ask("device", "list")[0]["crm"] is None
    for wrong in ([], ["--crm", "clinic", "--operators"]):
        assert run("device", "assign", "p", *wrong).exit_code == 2
    assert run("device", "assign", "p", "--crm", "nobody").exit_code == 1


def test_rotating_gives_another_secret(ask: Ask):
    first = ask("device", "add", "p")
    assert ask("device", "rotate", "p")["password"] != first["password"]
    assert ask("device", "rotate", "p", "--key")["password"].startswith("gw_live_")


def test_a_device_is_switched_off_and_on_and_removed(ask: Ask, run: Run):
    ask("device", "add", "p")
    assert ask("device", "disable", "p") == {"device_id": "p", "enabled": False}
    assert ask("device", "list")[0]["enabled"] is False
    assert ask("device", "enable", "p")["enabled"] is True
    ask("device", "remove", "p")
    assert ask("device", "list") == []
    assert run("device", "disable", "p").exit_code == 1


@pytest.mark.parametrize("name", ["a/b", "", "x" * 65, "é"])
def test_an_odd_device_id_is_refused_in_one_line(run: Run, name: str):
    result = run("device", "add", name)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


def test_a_number_that_is_none_is_refused_in_one_line(run: Run, ask: Ask):
    result = run("device", "add", "p", "--phone", "hello")
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert ask("device", "list") == []


def test_a_crm_is_added_with_its_webhook_and_devices(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    ask("device", "add", "p")
    made = ask("crm", "add", "clinic", "--device", "p", "--callback-url", "http://127.0.0.1:9/hook")
    assert re.fullmatch(r"crm_live_[0-9a-f]{64}", made["api_key"])
    assert made["webhook"]["secret"].startswith("whsec_")
    assert ask("crm", "list")[0]["device_ids"] == ["p"]
    assert ask("webhook", "list", "--crm", "clinic")["data"][0]["id"] == made["webhook"]["id"]


def test_a_callback_url_that_may_not_be_called_makes_no_crm(run: Run, ask: Ask):
    result = run("crm", "add", "clinic", "--callback-url", "http://127.0.0.1:9/hook")
    assert result.exit_code == 1
    assert "SMSGW_WEBHOOK_ALLOWED_NETWORKS" in result.output
    assert ask("crm", "list") == []


def test_a_crm_is_routed_rotated_switched_and_removed(ask: Ask, run: Run):
    ask("device", "add", "p")
    made = ask("crm", "add", "clinic")
    assert made["webhook"] is None
    assert ask("crm", "route", "clinic", "--device", "p")["device_ids"] == ["p"]
    assert ask("crm", "route", "clinic", "--all-devices")["device_ids"] is None
    assert run("crm", "route", "clinic", "--device", "nobody").exit_code == 1
    assert ask("crm", "rotate", "clinic")["api_key"] != made["api_key"]
    assert ask("crm", "disable", "clinic")["enabled"] is False
    assert ask("crm", "enable", made["id"])["enabled"] is True
    ask("crm", "remove", "clinic")
    assert ask("crm", "list") == []


def test_operators_come_and_go(ask: Ask, run: Run):
    made = ask("operator", "add", "ann")
    assert re.fullmatch(r"op_live_[0-9a-f]{64}", made["key"])
    assert run("operator", "add", "ann").exit_code == 1
    assert [one["name"] for one in ask("operator", "list")] == ["ann"]
    ask("operator", "remove", "ann")
    assert ask("operator", "list") == []


def test_a_clerk_has_some_crms_and_a_new_key_after_a_reset(ask: Ask, run: Run):
    ask("crm", "add", "clinic")
    made = ask("operator", "add", "cleo", "--role", "clerk", "--crm", "clinic")
    assert made["role"] == "clerk"
    (listed,) = ask("operator", "list")
    assert (listed["role"], listed["crms"]) == ("clerk", ["clinic"])
    assert run("operator", "add", "vic", "--role", "viewer", "--crm", "clinic").exit_code == 1
    assert run("operator", "add", "vic", "--role", "clerk", "--crm", "nobody").exit_code == 1
    assert ask("operator", "reset", "cleo")["key"] != made["key"]
    assert run("operator", "reset", "nobody").exit_code == 1


def test_the_quarantine_is_listed_shown_and_cleared(ask: Ask, run: Run, database: Database):
    ask("device", "add", "p")
    with database.transaction() as session:
        bad = [Unreadable(f'{{"id": {number}}}', "no text") for number in range(3)]
        quarantine.keep(session, "p", bad, NOW)
    listed = ask("quarantine", "list")
    assert set(listed[0]) == {"id", "device_id", "received_at", "reason", "raw"}
    assert listed[0]["id"] > listed[-1]["id"]
    assert ask("quarantine", "show", str(listed[0]["id"])) == listed[0]
    assert run("quarantine", "clear", str(listed[0]["id"]), "999999").exit_code == 1
    assert len(ask("quarantine", "list")) == 3
    assert ask("quarantine", "clear", str(listed[0]["id"])) == {"cleared_count": 1}
    assert ask("quarantine", "clear") == {"cleared_count": 2}


def test_a_list_into_a_pipe_has_a_header_also_where_nothing_is_in_it(run: Run, ask: Ask):
    (header,) = run("crm", "list").stdout.splitlines()
    assert header.split("\t")[0] == "name"
    assert "no CRMs yet" in run("crm", "list").stderr
    ask("crm", "add", "clinic")
    first, row = run("crm", "list").stdout.splitlines()
    assert (first, row.split("\t")[0]) == (header, "clinic")


def test_a_phone_that_has_forgotten_everything_is_reset(run: Run, ask: Ask):
    ask("device", "add", "mine")
    assert ask("device", "reset", "mine") == {"device_id": "mine", "unconfirmed_count": 0}
    assert "mine was reset; " in run("device", "reset", "mine").output
    assert run("device", "reset", "nobody").exit_code == 1


def test_a_crm_gets_limits_of_its_own_and_gives_them_back(ask: Ask):
    ask("crm", "add", "clinic")
    limited = ask("crm", "limit", "clinic", "--queue", "100", "--requests", "60")
    assert (limited["queue_limit"], limited["requests_per_minute"]) == (100, 60)
    limited = ask("crm", "limit", "clinic", "--requests", "0")
    assert (limited["queue_limit"], limited["requests_per_minute"]) == (100, None)


def test_a_phone_gets_limits_of_its_own_and_gives_them_back(run: Run, ask: Ask):
    ask("device", "add", "front-desk")
    limited = ask("device", "limit", "front-desk", "--per-hour", "100", "--recipients", "90")
    assert limited["limits"]["segments_per_hour"] == 100
    assert limited["usage"]["recipients_per_month"] == {"limit": 90, "used": 0}
    limited = ask("device", "limit", "front-desk", "--recipients", "0")
    assert (limited["limits"]["recipients_per_month"], limited["limits"]["segments_per_hour"]) == (
        None,
        100,
    )
    lines = run("device", "limit", "front-desk").stdout.splitlines()
    assert "segments_per_hour\t100\t100\t0" in lines
    assert "segments_per_minute\t-\t24\t0" in lines
    assert run("device", "limit", "nobody").exit_code == 1
    assert run("device", "limit", "front-desk", "--per-day", "-1").exit_code == 2


@pytest.mark.parametrize("word", ["resume", "enable", "reset"])
def test_the_pause_of_a_phone_is_ended_by_hand(run: Run, ask: Ask, database: Database, word: str):
    ask("device", "add", "front-desk")
    with database.transaction() as session:
        device = registry.get(session, "front-desk")
        device.paused_until = clock.now() + timedelta(minutes=5)
        device.pause_count, device.pause_reason = 1, "no credit"
    shown = run("device", "limit", "front-desk").stdout
    assert "It is paused, because a message failed with 'no credit'; it gets more at" in shown
    ask("device", word, "front-desk")
    assert ask("device", "limit", "front-desk")["limited_until"] is None
