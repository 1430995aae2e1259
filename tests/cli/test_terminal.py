"""What people see on a terminal, by its width, and what programs get when it is piped."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from smsgw import clock, ids
from smsgw.cli import output
from smsgw.cli.doctor import MOST_ABOUT_PHONES
from smsgw.core.accounts import enrolment
from smsgw.http.context import EXTENSION
from smsgw.store.db import Database
from smsgw.store.models import Attempt
from tests.cli.conftest import Ask, Run
from tests.conftest import World
from tests.running import ROOT, environment

TEXT = "A text that is rather long, with \u65e5\u672c\u8a9e in it, so that no line of 80 columns shows all of it"
SECONDS = 60


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Standard output is a terminal of 80 columns."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    return monkeypatch


@pytest.fixture
def sent(world: World, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> str:
    """A message that a phone was handed and has failed to send, with a webhook about it."""
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1:9")
    ask(
        "webhook",
        "add",
        "--crm",
        "clinic",
        "http://127.0.0.1:9/a-rather-long-path/for-the-events-of-the-clinic",
    )
    made = ask("send", "--crm", "clinic", "--to", "+12025550123", "--content", TEXT)
    headers = world.as_device()
    (handed,) = world.client.post("/api/sms", json={}, headers=headers).json["messages"]
    update = {"id": handed["id"], "status": "FAILED", "reason": "generic; errorCode=1"}
    world.client.post("/api/sms", json={"updates": [update]}, headers=headers)
    return str(made["id"])


def _fits(text: str, columns: int = 80) -> bool:
    return all(cell_len(line) <= columns for line in text.splitlines())


def test_a_list_of_messages_is_a_block_for_each_below_100_columns_and_a_table_from_there(
    run: Run, sent: str, terminal: pytest.MonkeyPatch
):
    lines = run("messages").stdout.splitlines()
    assert re.fullmatch(rf"{sent}  failed, \d+ s ago", lines[0])
    assert lines[1] == "  to +12025550123, by phone-1"
    assert lines[2].startswith("  A text that is rather long")
    assert lines[2].endswith("\u2026")
    assert _fits(run("messages").stdout)
    terminal.setenv("COLUMNS", "100")
    titles, row = run("messages").stdout.splitlines()
    assert titles.split()[:2] == ["id", "status"]
    assert row.startswith(sent)
    assert _fits(row, 100)


def test_no_line_is_wider_than_the_terminal_and_no_id_is_broken(
    run: Run, ask: Ask, sent: str, terminal: pytest.MonkeyPatch
):
    name = "a-device-with-a-name-of-40-letters-00000"
    ask("device", "add", name, "--phone", "+12025550100")
    ask("operator", "add", "ann")
    (webhook,) = ask("webhook", "list")["data"]
    for command in (
        *("messages", "device list", "crm list", "webhook list", "operator list", "audit"),
        *(f"webhook deliveries {webhook['id']}", f"message {sent}", f"device limit {name}"),
        "doctor",
    ):
        for columns in (60, 80, 99, 100, 140, 200):
            terminal.setenv("COLUMNS", str(columns))
            shown = run(*command.split())
            assert shown.exit_code == (command == "doctor"), command
            is_whole = command.startswith("message ") and columns < 80
            assert _fits(shown.stdout, 80 if is_whole else columns), (command, columns)
            ids = re.findall(r"\b(?:msg|whe|dlv|crm|aud)_[0-9a-f]{6,}", shown.stdout)
            assert all(len(one) == 36 for one in ids), (command, columns)
            assert set(re.findall(r"a-device[-\w]*", shown.stdout)) <= {name}


def test_a_message_begins_with_where_it_waits_and_goes_on_with_tables(
    run: Run, ask: Ask, sent: str, terminal: pytest.MonkeyPatch
):
    lines = run("message", sent).stdout.splitlines()
    assert re.fullmatch(
        r"Failed at \d\d:\d\d UTC \(\d+ s ago\)\. generic; errorCode=1\. Nothing more is to come\.",
        lines[0],
    )
    assert [line for line in lines if line in ("Timeline", "Dispatches", "Webhook attempts")] == [
        "Timeline",
        "Dispatches",
        "Webhook attempts",
    ]
    assert "\x1b" not in run("message", sent, color=True).stdout.replace("\x1b[1m", "").replace(
        "\x1b[0m\n", ""
    )
    timeline = lines[lines.index("Timeline") + 1 : lines.index("Dispatches") - 1]
    assert [line.split()[1] for line in timeline] == ["(UTC)", "queued", "dispatched", "failed"]
    assert "not sent yet" in lines[-1]
    waiting = ask("send", "--crm", "clinic", "--to", "+12025550124", "--content", "Hi")
    shown = run("message", waiting["id"]).stdout
    assert shown.startswith("Waits for a phone, since ")
    assert "The phone phone-1 " in " ".join(shown.split())


def test_a_device_says_how_long_ago_it_was_seen_and_what_is_empty_everywhere_is_left_out(
    run: Run, world: World, sent: str, terminal: pytest.MonkeyPatch
):
    world.app.extensions[EXTENSION].last_seen_writer.write()
    titles, row = run("device", "list").stdout.splitlines()
    assert re.search(r"\d+ s ago", row)
    assert "last seen" in titles
    assert "silent" not in titles
    assert "crm" not in titles
    assert row.startswith("phone-1")


def test_lists_have_a_line_of_titles_and_whole_values_when_they_are_piped(
    run: Run, ask: Ask, sent: str
):
    titles, row = run("messages").stdout.splitlines()
    (message,) = ask("messages")
    assert dict(zip(titles.split("\t"), row.split("\t"), strict=True))["content"] == TEXT
    assert (
        dict(zip(titles.split("\t"), row.split("\t"), strict=True))["created_at"]
        == message["created_at"]
    )


def test_doctor_names_the_first_phones_in_each_state_and_counts_the_others(
    run: Run, world: World, terminal: pytest.MonkeyPatch
):
    with world.database.transaction() as session:
        for number in range(30):
            enrolment.add_with_password(session, f"new-{number}", None, None, clock.now())
    shown = run("doctor").stdout
    assert shown.count("has never polled") == MOST_ABOUT_PHONES
    assert "wrong    devices: 11 more findings about phones" in shown
    terminal.setattr(output, "is_terminal", lambda: False)
    assert run("doctor").stdout.count("has never polled") == 31


def test_a_deliverys_attempts_are_a_table_on_a_terminal(
    run: Run, ask: Ask, sent: str, database: Database, terminal: pytest.MonkeyPatch
):
    (webhook,) = ask("webhook", "list")["data"]
    delivery = ask("webhook", "deliveries", webhook["id"])["data"][0]
    attempt = Attempt(id=ids.new_attempt_id(), delivery_id=delivery["id"], started_at=clock.now())
    attempt.duration_seconds, attempt.status_code, attempt.is_manual = 0.25, 500, False
    with database.transaction() as session:
        session.add(attempt)
    shown = run("webhook", "delivery", delivery["id"]).stdout
    assert _fits(shown)
    *_, title, titles, row = shown.splitlines()
    assert (title, titles.split()[:2]) == ("Attempts", ["at", "result"])
    assert "HTTP 500" in row
    assert "look at its log. It is tried again by itself" in " ".join(shown.split())


def test_the_doctors_findings_have_their_next_step_below(
    run: Run, sent: str, terminal: pytest.MonkeyPatch
):
    lines = run("doctor").stdout.splitlines()
    (number,) = [
        number for number, line in enumerate(lines) if line.startswith("wrong    worker: ")
    ]
    assert lines[number + 1].startswith("         -> start the server (")
    terminal.setenv("COLUMNS", "120")
    assert re.search(
        r"^wrong    worker {10,}no worker was ever seen$", run("doctor").stdout, re.MULTILINE
    )


def test_an_objects_values_are_wrapped_between_words(
    run: Run, world: World, terminal: pytest.MonkeyPatch
):
    shown = run("send", "--crm", "clinic", "--to", "+12025550123", "--content", TEXT).stdout
    assert _fits(shown)
    assert " ".join(shown.split()).count(TEXT) == 1


def test_a_qr_code_fits_the_terminal_or_says_that_it_does_not(
    run: Run, terminal: pytest.MonkeyPatch
):
    terminal.setenv("SMSGW_PUBLIC_URL", f"https://{'a' * 60}.example.org")
    shown = run("device", "add", "p", "--key").stdout
    assert "\u2588" in shown
    assert all(cell_len(line) <= 80 for line in shown.splitlines() if "\u2588" in line)
    terminal.setenv("COLUMNS", "50")
    narrow = run("device", "add", "q", "--key").stdout
    assert "This terminal is too narrow for the QR code" in narrow
    assert "\u2588" not in narrow
    assert narrow.count("gw_live_") == 3  # the password, in the URL, and to copy


def test_no_color_and_a_dumb_terminal_are_obeyed(tmp_path: Path):
    settings = environment(SMSGW_DATABASE_URL=f"sqlite:///{tmp_path}/x.db", TERM="xterm")
    settings.pop("NO_COLOR", None)
    subprocess.run(_command("init"), cwd=ROOT, env=settings, check=True, capture_output=True)
    for variables, is_plain in (({}, False), ({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True)):
        shown = _on_a_terminal(_command("device", "list"), {**settings, **variables})
        assert b"phone-1" in shown
        assert (b"\x1b" not in shown) == is_plain


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "smsgw", *arguments]


def _on_a_terminal(command: list[str], variables: dict[str, str]) -> bytes:
    """What a command writes to a real terminal."""
    parent, child = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=child) as process:
        os.close(child)
        shown = b""
        while True:
            try:
                shown += (part := os.read(parent, 4096))
            except OSError:  # the command has ended
                break
            if not part:
                break
        process.wait(SECONDS)
    os.close(parent)
    return shown
