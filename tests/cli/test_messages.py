"""`send`, `messages`, `message`, `cancel`, `resend`, `export`, `import`, `doctor`, `webhook`."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core import devices, housekeeping, presence, protocols
from smsgw.store.db import Database
from smsgw.store.models import Message
from tests.cli.conftest import Ask, Run


@pytest.fixture
def crm(ask: Ask) -> str:
    return str(ask("crm", "add", "clinic")["name"])


def _send(ask: Ask, *arguments: str):
    return ask("send", "--crm", "clinic", "--to", "+12025550123", "--content", "Hi", *arguments)


def test_a_message_is_sent_listed_shown_and_cancelled(ask: Ask, crm: str, run: Run):
    sent = _send(ask)
    assert sent["status"] == "queued"
    assert [one["id"] for one in ask("messages")] == [sent["id"]]
    shown = ask("message", sent["id"])
    assert [entry["status"] for entry in shown["history"]] == ["queued"]
    assert shown["waiting_for"]["text"]
    assert ask("cancel", sent["id"])["status"] == "cancelled"
    assert run("cancel", sent["id"]).exit_code == 1
    assert run("message", "msg_nothing").exit_code == 1


def test_a_number_no_phone_can_call_is_refused(run: Run, crm: str):
    result = run("send", "--crm", crm, "--to", "MPESA", "--content", "x")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


def test_resending_what_may_have_been_sent_needs_a_word(ask: Ask, run: Run, crm, database):
    sent = _send(ask)
    with database.transaction() as session:
        session.execute(sa.update(Message).values(status="failed", reason_class="unconfirmed"))
    assert run("resend", sent["id"]).exit_code == 1
    assert ask("resend", sent["id"], "--may-duplicate")["status"] == "queued"


def test_messages_are_filtered_and_paged_newest_first(ask: Ask, crm: str):
    sent = [_send(ask)["id"] for _ in range(3)]
    ask("cancel", sent[0])
    assert [one["id"] for one in ask("messages", "--limit", "2")] == sent[:0:-1]
    assert [one["id"] for one in ask("messages", "--before", sent[1])] == sent[:1]
    assert [one["id"] for one in ask("messages", "--status", "cancelled")] == sent[:1]
    assert ask("messages", "--crm", crm, "--since", "1h", "--direction", "inbound") == []
    assert len(ask("messages", "--crm", crm, "--since", "2020-01-01")) == 3


def _file(folder: Path, text: str | bytes) -> str:
    path = folder / "messages.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_file_of_a_spreadsheet_is_imported(ask: Ask, crm: str, tmp_path: Path):
    text = (
        "\ufeffTo;Content;reference;send_at;priority\r\n"
        '+12025550123;"two\nlines; and ""quotes""";r-1;;9\r\n'
        "\r\n"
        "+12025550124;=1+1;;2030-01-01T00:00:00Z;\r\n"
    )
    answer = ask("import", "messages", _file(tmp_path, text), "--crm", crm)
    assert answer == {"imported_count": 2}
    second, first = ask("messages")
    assert first["content"] == 'two\nlines; and "quotes"'
    assert (first["reference"], first["priority"]) == ("r-1", 9)
    assert second["content"] == "=1+1"
    assert second["send_at"] == "2030-01-01T00:00:00.000Z"


def test_a_bad_row_is_named_and_nothing_is_imported(run: Run, ask: Ask, crm: str, tmp_path: Path):
    rows = [f"+1202555{number:04}\tHi" for number in range(1, 1201)]
    rows[1100] = "MPESA\tHi"
    path = _file(tmp_path, "\n".join(["to\tcontent", *rows]))
    result = run("import", "messages", path, "--crm", crm)
    assert result.exit_code == 1
    assert "row 1101: to: " in result.output
    assert "line 1102" in result.output
    assert ask("messages") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("number,content\n1,2\n", "no column 'to'"),
        ("to,content,colour\n1,2,3\n", "no column 'colour'"),
        ("to,content,to\n1,2,3\n", "'to' is there twice"),
        ("to,content\n+12025550123,a,b\n", "row 1: has 3 columns"),
        ("to,content\n+12025550123,a\n+12025550123,\n", "row 2: content"),
        ("to,content,priority\n+12025550123,a,high\n", "row 1: priority"),
        ("to,content,priority\n+12025550123,a,12\n", "row 1: priority"),
        ("to,content,send_at\n+12025550123,a,soon\n", "row 1: send_at"),
        ("to,content,device_id\n+12025550123,a,nobody\n", "row 1: device_id"),
        ("to,content,reference\n+12025550123,a,r\n+12025550123,b,r\n", "row 2: the reference"),
        ('to,content\n+12025550123,"a', "line 2"),
        ("to,content\n+12025550123,ü\n".encode("latin-1"), "CSV UTF-8"),
        ("", "no column 'to'"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(run: Run, ask: Ask, crm, tmp_path, text, words):
    result = run("import", "messages", _file(tmp_path, text), "--crm", crm)
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.splitlines()) == 1
    assert ask("messages") == []


def test_an_import_can_be_repeated_where_rows_have_references(ask: Ask, crm, tmp_path: Path):
    path = _file(tmp_path, "to,content,reference\n+12025550123,a,r-1\n")
    ask("import", "messages", path, "--crm", crm)
    ask("import", "messages", path, "--crm", crm)
    assert len(ask("messages")) == 1


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_has_everything_oldest_first_and_exactly(run: Run, ask: Ask, crm, form: str):
    text = '=1+1, "é\n😀'
    ids = [
        ask("send", "--crm", crm, "--to", "+12025550123", "--content", text)["id"] for _ in range(2)
    ]
    result = run("export", "messages", "--format", form)
    assert result.exit_code == 0
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    else:
        rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["id"] for row in rows] == ids
    assert {row["content"] for row in rows} == {text}
    assert result.stderr == "2 exported.\n"


def test_an_export_goes_over_many_pages_and_begins_where_it_is_told(
    run: Run, crm, tmp_path: Path, ask: Ask
):
    rows = "\n".join(f"+12025550123,{number}" for number in range(2500))
    ask("import", "messages", _file(tmp_path, f"to,content\n{rows}\n"), "--crm", crm)
    file = tmp_path / "out.jsonl"
    answer = ask("export", "messages", "--since", "1h", "--output", str(file))
    assert answer == {"exported_count": 2500}
    contents = [json.loads(line)["content"] for line in file.read_text().splitlines()]
    assert contents == [str(number) for number in range(2500)]
    assert ask("export", "messages", "--since", "2099-01-01", "--output", str(file)) == {
        "exported_count": 0
    }


def test_the_doctor_finds_nothing_wrong_where_all_is_well(
    ask: Ask, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMSGW_PUBLIC_URL", "https://sms.example.org")
    ask("device", "add", "p")
    _beat_and_poll(database, "v1.8.1")
    answer = ask("doctor")
    assert answer["ok"]
    assert {check["state"] for check in answer["checks"]} == {"ok"}


def test_the_doctor_says_what_is_wrong_and_what_to_do(run: Run, ask: Ask, crm, database: Database):
    ask("device", "add", "p")
    ask("device", "add", "never")
    _beat_and_poll(database, "v1.7.4", timedelta(hours=3))
    _send(ask)
    with database.transaction() as session:
        session.execute(sa.update(Message).values(status="sending", stuck_at=clock.now()))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    checks = json.loads(result.stdout)["checks"]
    wrong = {(check["check"], check["text"]) for check in checks if check["state"] == "wrong"}
    assert ("device p", "polled last 3 hours ago") in wrong
    assert ("device never", "has never polled") in wrong
    assert any("1.7.4" in text for _, text in wrong)
    assert any(check == "stuck messages" for check, _ in wrong)
    assert any(check == "worker" for check, _ in wrong)
    assert all(check["advice"] for check in checks if check["state"] != "ok")


def _check_of(run: Run, device_id: str) -> dict[str, str]:
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    (found,) = [check for check in checks if check["check"] == f"device {device_id}"]
    return found


def test_the_doctor_takes_only_cht_gateways_versions_for_old(
    run: Run, ask: Ask, database: Database
):
    ask("device", "add", "p", "--key")
    _beat_and_poll(database, "1.0.0", protocol=protocols.MYSMSAPIO)
    assert _check_of(run, "p") == {
        "check": "device p",
        "state": "ok",
        "text": "was heard of 0 seconds ago",
        "advice": "",
    }


@pytest.mark.parametrize(
    ("arguments", "protocol", "text", "advice"),
    [
        ([], protocols.CHT, "has never polled", "switch polling on"),
        (["--key"], protocols.MYSMSAPIO, "has never connected", "QR code"),
        (["--key"], protocols.SOCKET, "has never connected", "/ws"),
    ],
)
def test_the_doctor_has_words_for_each_kind_of_app(
    run: Run, ask: Ask, database: Database, arguments, protocol, text, advice
):
    ask("device", "add", "p", *arguments)
    if protocol == protocols.SOCKET:
        with database.transaction() as session:
            devices.get(session, "p").protocol = protocol
    found = _check_of(run, "p")
    assert (found["state"], found["text"]) == ("wrong", text)
    assert advice in found["advice"]


def test_the_doctor_sees_a_clock_that_was_set_back(run: Run, ask: Ask, crm, database: Database):
    _send(ask)
    with database.transaction() as session:
        session.execute(sa.update(Message).values(created_at=clock.now() + timedelta(days=2)))
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    (clock_check,) = [check for check in checks if check["check"] == "clock"]
    assert clock_check["state"] == "wrong"


def test_the_doctor_needs_no_database_to_speak(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMSGW_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/x")
    result = run("doctor")
    assert result.exit_code == 1
    assert "SMSGW_DATABASE_URL" in result.output
    assert "hidden" not in result.output


def test_a_webhook_from_its_making_to_its_end(ask: Ask, run: Run, crm, monkeypatch):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    made = ask("webhook", "add", "--crm", crm, "http://127.0.0.1:9/x", "--event", "message.sent")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["message.sent"]
    (listed,) = ask("webhook", "list")["data"]
    assert "secret" not in listed
    pinged = ask("webhook", "test", made["id"])
    assert pinged["event_type"] == "webhook.ping"
    (delivery,) = ask("webhook", "deliveries", made["id"])["data"]
    assert ask("webhook", "delivery", delivery["id"])["attempts"] == []
    assert ask("webhook", "replay", delivery["id"])["status"] == "pending"
    assert ask("webhook", "recover", made["id"], "--since", "24h")["created_count"] == 0
    assert ask("webhook", "rotate-secret", made["id"])["secret"] != made["secret"]
    assert ask("webhook", "disable", made["id"])["enabled"] is False
    assert run("webhook", "test", made["id"]).exit_code == 1
    assert ask("webhook", "enable", made["id"])["enabled"] is True
    ask("webhook", "remove", made["id"])
    assert ask("webhook", "list")["data"] == []


def _beat_and_poll(
    database: Database,
    version: str,
    ago: timedelta = timedelta(0),
    protocol: str = protocols.CHT,
) -> None:
    moment = clock.now() - ago
    sightings = presence.Sightings()
    sightings.note("p", moment, version, protocol)
    with database.transaction() as session:
        assert devices.get(session, "p").enabled
        housekeeping.beat(session, "host:1", moment)
        sightings.write(session)
