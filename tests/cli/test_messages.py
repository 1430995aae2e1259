"""`send`, `messages`, `message`, `cancel`, `resend`, `export`, `import`, `doctor`, `webhook`."""

import csv
import io
import json
import os
import re
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw import clock, program
from smsgw import settings as settings_module
from smsgw.core.accounts import crms
from smsgw.core.devices import logins, presence, protocols, registry
from smsgw.core.messages import imports
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import doctor, housekeeping
from smsgw.errors import Conflict
from smsgw.store.db import Database
from smsgw.store.models import Message
from tests.cli.conftest import Ask, Run

HOOK = "http://127.0.0.1:9/x"


@pytest.fixture
def crm(ask: Ask) -> str:
    name = str(ask("crm", "add", "clinic")["name"])
    # Files of these tests have one text to one number in hundreds of rows.
    ask("crm", "limit", name, "--loop-guard", "0")
    return name


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


@pytest.mark.parametrize(
    ("command", "listing"),
    [
        ("message 7", "messages"),
        ("cancel msg_7", "messages"),
        ("device reset nobody", "device list"),
        ("crm rotate nobody", "crm list"),
        ("send --crm nobody --to +12025550123 --content Hi", "crm list"),
        ("operator reset nobody", "operator list"),
        ("webhook test whe_7", "webhook list"),
        ("webhook replay dlv_7", "webhook deliveries ID"),
        ("quarantine show 7", "quarantine list"),
    ],
)
def test_what_is_not_there_names_the_command_that_lists_what_is(
    run: Run, database, command, listing
):
    result = run(*command.split())
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.endswith(f"; see {program.line(listing)}")


def test_a_number_no_phone_can_call_is_refused(run: Run, crm: str):
    result = run("send", "--crm", crm, "--to", "MPESA", "--content", "x")
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1


def test_resending_what_may_have_been_sent_needs_a_word(ask: Ask, run: Run, crm, database):
    sent = _send(ask)
    with database.transaction() as session:
        session.execute(sa.update(Message).values(status="failed", reason_class="unconfirmed"))
    refused = run("resend", sent["id"])
    assert refused.exit_code == 1
    assert "add --may-duplicate to resend it anyway" in refused.output
    assert ask("resend", sent["id"], "--may-duplicate")["status"] == "queued"


def test_messages_before_what_is_no_id_are_refused(run: Run):
    refused = run("messages", "--before", "yesterday")
    assert refused.exit_code == 2
    assert "--before takes the id of a message" in refused.output


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
    assert answer == {"imported_count": 2, "already_there_count": 0}
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
    assert "row 1102: to: " in result.output
    assert ask("messages") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("number,content\n1,2\n", "unknown column 'number'"),
        ("content\n2\n", "missing column 'to'"),
        ("to,content,colour\n1,2,3\n", "unknown column 'colour'"),
        ("to,content,to\n1,2,3\n", "duplicate column 'to'"),
        ("to,content\n+12025550123,a,b\n", "row 2: has 3 columns"),
        ("to,content\n+12025550123,a\n\n+12025550123,\n", "row 4: content"),
        ('to,content\n+12025550123,"a\nb"\n+12025550123,\n', "row 3: content: "),
        ("to,content\n+49302312500.0,a\n", "row 2: to: Looks like a number from a spreadsheet"),
        ("to,content,priority\n+12025550123,a,high\n", "row 2: priority"),
        ("to,content,priority\n+12025550123,a,12\n", "row 2: priority"),
        ("to,content,send_at\n+12025550123,a,soon\n", "row 2: send_at"),
        ("to,content,send_at\n+12025550123,a,2027-07-01 08:00\n", "has no time zone"),
        ("to,content,send_at\n+12025550123,a,2027-07-01\n", "has no time"),
        ("to,content,send_at\n+12025550123,a,9999-12-31T23:59:59-14:00\n", "between 1970"),
        ("to,content,device_id\n+12025550123,a,nobody\n", "row 2: device_id"),
        ("to,content,reference\n+12025550123,a,r\n+12025550123,b,r\n", "row 3: reference"),
        ("to,content\n+12025550123,caf\ufffd\n", "row 2: contains U+FFFD"),
        ('to,content\n+12025550123,"a', "line 2"),
        ("to,content\n+12025550123,ü\n".encode("latin-1"), "CSV UTF-8"),
        ("to,content\n+12025550123,a\n".encode("utf-16-le"), "CSV UTF-8"),
        ("", "missing column 'to'"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(run: Run, ask: Ask, crm, tmp_path, text, words):
    result = run("import", "messages", _file(tmp_path, text), "--crm", crm)
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.splitlines()) == 1
    assert ask("messages") == []


def test_all_wrong_rows_are_named_at_once(run: Run, ask: Ask, crm, tmp_path: Path):
    text = (
        "to,content,send_at,reference\n+12025550123,a,,r\nMPESA,,,\n+12025550123,a,soon,\n"
        "+12025550123,a,,\n+12025550123,b,,r\n+12025550123,a,,,x\n"
    )
    result = run("import", "messages", _file(tmp_path, text), "--crm", crm)
    lines = result.output.splitlines()
    assert lines[0].endswith("4 rows are invalid, so nothing was queued:")
    assert [line.split(":")[0] for line in lines[1:]] == ["row 3", "row 4", "row 6", "row 7"]
    assert "to: " in lines[1]
    assert "content: " in lines[1]
    assert ask("messages") == []


def test_of_very_many_wrong_rows_the_first_are_named(run: Run, crm, tmp_path: Path):
    rows = "\n".join(f"{number},x" for number in ["4.93E+11"] * 2000)
    result = run("import", "messages", _file(tmp_path, f"to,content\n{rows}\n"), "--crm", crm)
    lines = result.output.splitlines()
    assert len(lines) == 52
    assert "2000 rows are invalid" in lines[0]
    assert lines[-1] == "… and 1950 more"


ROW = "+12025550123{0}Grüße{0}r-1{0}2030-01-01T08:00:00+01:00"
HEADER = "to{0}content{0}reference{0}send_at"


@pytest.mark.parametrize(
    "data",
    [
        f"{HEADER}\n{ROW}\n".format(",").encode(),
        f"{HEADER}\n{ROW}".format(";").encode(),
        f"{HEADER}\r\n{ROW}\r\n".format("\t").encode(),
        f"{HEADER}\r{ROW}\r".format(";").encode(),
        f"sep=;\r\n{HEADER}\r\n{ROW}\r\n".format(";").encode("utf-8-sig"),
        f'"sep=|"\n{HEADER}\n{ROW}\n'.format("|").encode(),
        f"sep=;;;;\r\n{HEADER}\r\n{ROW}\r\n".format(";").encode(),
        f'"sep=;" \r\n\ufeff{HEADER}\r\n{ROW}\r\n'.format(";").encode(),
        f"{{0}}{HEADER}\n{{0}}{ROW}\n{{0}}{{0}}\n".format(";").encode(),
        f"\u200bto{{0}}content{{0}}reference{{0}}{{0}}SEND-AT\n{ROW}\n".replace(
            "r-1{0}", "r-1{0}{0}"
        )
        .format(";")
        .encode(),
        f"sep=\t\n{HEADER}\n{ROW}\n".format("\t").encode("utf-16"),
        f"{HEADER}\r\n{ROW}\r\n".format("\t").encode("utf-16"),
        f"{HEADER}{{0}}{{0}}\n{ROW}{{0}}{{0}}\n{{0}}{{0}}{{0}}\n".format(";").encode(),
        f"{HEADER}\n{ROW}{{0}}{{0}} \n \n  {{0}} {{0}}\u00a0{{0}}\n".format(",").encode(),
        f"\n{{0}}{{0}}\n{HEADER}\n\n{ROW}\n\n".format(";").encode(),
        f" TO {{0}}Content{{0}}REFERENCE{{0}}Send At{{0}}Device ID\n{ROW}\n".format(",").encode(),
    ],
)
def test_a_file_is_taken_as_spreadsheets_write_it(ask: Ask, crm, tmp_path: Path, data: bytes):
    ask("import", "messages", _file(tmp_path, data), "--crm", crm)
    (message,) = ask("messages")
    assert (message["content"], message["reference"]) == ("Grüße", "r-1")
    assert message["send_at"] == "2030-01-01T07:00:00.000Z"


@pytest.mark.parametrize(
    ("local", "moment"),
    [
        ("2027-07-01 08:00", "2027-07-01T06:00:00.000Z"),
        ("2027-12-01T08:00:30", "2027-12-01T07:00:30.000Z"),
        ("2027-07-01T08:00Z", "2027-07-01T08:00:00.000Z"),
        ("2027-07-01t08:00:00z", "2027-07-01T08:00:00.000Z"),
        ("2027-03-28 02:30", "does not exist"),
        ("2027-10-31 02:30", "occurs twice"),
        ("2027-07-01", "has no time"),
    ],
)
def test_a_time_without_a_zone_is_taken_with_the_zone_that_was_given(
    run: Run, ask: Ask, crm, tmp_path: Path, local: str, moment: str
):
    path = _file(tmp_path, f"to,content,send_at\n+12025550123,a,{local}\n")
    result = run("import", "messages", path, "--crm", crm, "--timezone", "Europe/Berlin")
    if moment.endswith("Z"):
        assert result.exit_code == 0
        assert ask("messages")[0]["send_at"] == moment
    else:
        assert result.exit_code == 1
        assert "row 2: send_at" in result.output
        assert moment in result.output


@pytest.mark.parametrize("option", [["--since", "2026-01-31T12:00"], ["--since", "31.01.2026"]])
def test_a_time_without_a_zone_is_refused_on_the_command_line(run: Run, crm, option: list[str]):
    result = run("messages", *option)
    assert result.exit_code == 2
    assert "2026-01-31T12:00:00Z" in result.output


def test_an_unknown_zone_is_refused(run: Run, crm, tmp_path: Path):
    for name in ("Mars", "../etc/passwd", ""):
        path = _file(tmp_path, "to,content\n")
        assert run("import", "messages", path, "--crm", crm, "--timezone", name).exit_code == 2


def test_an_import_can_be_repeated_where_rows_have_references(ask: Ask, crm, tmp_path: Path):
    path = _file(tmp_path, "to,content,reference\n+12025550123,a,r-1\n")
    ask("import", "messages", path, "--crm", crm)
    for more in ([], ["--again"]):
        answer = ask("import", "messages", path, "--crm", crm, *more)
        assert answer == {"imported_count": 0, "already_there_count": 1}
    assert len(ask("messages")) == 1


def test_a_file_is_imported_once_unless_again_is_said(ask: Ask, run: Run, crm, tmp_path: Path):
    rows = "".join(f"+12025550123,{number}\n" for number in range(1200))
    path = _file(tmp_path, f"to,content\n{rows}")
    result = run("import", "messages", path, "--crm", crm)
    assert result.output == "1200 new, 0 already there.\n"
    # Saved by another program, it is the same file.
    path = _file(tmp_path, f"\ufeffTo;Content;;\r\n{rows.replace(',', ';')}")
    result = run("import", "messages", path, "--crm", crm)
    assert result.exit_code == 1
    assert "0 new, 1200 already there" in result.output
    assert "--again" in result.output
    other = ask("crm", "add", "other")["name"]
    assert ask("import", "messages", path, "--crm", other)["imported_count"] == 1200
    assert ask("import", "messages", path, "--crm", crm, "--again") == {
        "imported_count": 1200,
        "already_there_count": 0,
    }
    assert run("import", "messages", path, "--crm", crm).exit_code == 1
    assert len(ask("messages", "--crm", crm, "--limit", "9999")) == 2400


@pytest.mark.parametrize(
    "changed",
    [
        "to,content\n+12025550121,a\n+12025550122,b\n+12025550123,changed\n",
        "to,content\n+12025550123,new\n+1 202-555-0121,a\n",
        'to;content\r\n+12025550124;"two\nlines"\r\n',
    ],
)
def test_a_file_with_rows_that_another_one_queued_is_refused_unless_again_is_said(
    ask: Ask, run: Run, crm, tmp_path: Path, changed: str
):
    rows = '+12025550121,a\r\n+12025550122,b\r\n+12025550123,c\r\n+12025550124,"two\r\nlines"\r\n'
    path = _file(tmp_path, f"to,content\r\n{rows}".encode())
    assert ask("import", "messages", path, "--crm", crm)["imported_count"] == 4
    path = _file(tmp_path, changed)
    result = run("import", "messages", path, "--crm", crm)
    assert result.exit_code == 1
    assert "rows were queued in the last 24 hours" in result.output
    assert len(ask("messages")) == 4
    assert ask("import", "messages", path, "--crm", crm, "--again")["imported_count"] > 0


def test_the_same_text_is_imported_again_to_others_at_other_times_and_after_a_day(
    ask: Ask, crm, tmp_path: Path, database: Database
):
    path = _file(tmp_path, "to,content\n+12025550121,a\n")
    ask("import", "messages", path, "--crm", crm)
    for other in (
        "to,content,send_at\n+12025550121,a,2030-01-01T08:00:00Z\n",
        "to,content\n+12025550122,a\n",
    ):
        path = _file(tmp_path, other)
        assert ask("import", "messages", path, "--crm", crm)["imported_count"] == 1
    file = imports.file_of(
        [Draft(to="+12025550121", content="a"), Draft(to="+12025550129", content="b")]
    )
    with database.transaction() as session:
        row, later = crms.get(session, crm), clock.now() + timedelta(days=1, hours=1)
        assert imports.begin(session, row, settings_module.load(), file, later, is_again=False) == 0


def test_an_interrupted_import_goes_on_where_it_stopped(
    ask: Ask, run: Run, crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = "".join(f"+12025550123,{number}\n" for number in range(1200))
    path = _file(tmp_path, f"to,content\n{rows}")
    taken = []

    def interrupt(*arguments: object) -> object:
        taken.append(queue_all(*arguments))
        if len(taken) == 2:
            raise KeyboardInterrupt
        return taken[-1]

    queue_all = imports.queueing.queue_all
    monkeypatch.setattr(imports.queueing, "queue_all", interrupt)
    result = run("import", "messages", path, "--crm", crm)
    assert result.exit_code == 1
    assert "500 of 1200 rows are queued" in result.output
    answer = ask("import", "messages", path, "--crm", crm)
    assert answer == {"imported_count": 700, "already_there_count": 500}
    contents = [one["content"] for one in ask("messages", "--limit", "9999")]
    assert sorted(map(int, contents)) == list(range(1200))


def test_a_file_that_does_not_fit_into_the_queue_is_refused_as_a_whole(
    ask: Ask, run: Run, crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMSGW_QUEUE_LIMIT", "1500")
    path = _file(tmp_path, "to,content\n" + "+12025550123,x\n" * 1600)
    result = run("import", "messages", path, "--crm", crm)
    assert result.exit_code == 1
    assert "do not fit" in result.output
    assert ask("messages") == []
    path = _file(tmp_path, "to,content\n" + "+12025550123,x\n" * 1400)
    assert ask("import", "messages", path, "--crm", crm)["imported_count"] == 1400
    path = _file(tmp_path, "to,content\n" + "+12025550123,y\n" * 101)
    result = run("import", "messages", path, "--crm", crm)
    assert "full" in result.output
    path = _file(tmp_path, "to,content\n" + "+12025550123,y\n" * 100)
    assert ask("import", "messages", path, "--crm", crm)["imported_count"] == 100
    path = _file(tmp_path, "to,content\n" + "+12025550123,y\n" * 101)
    assert run("import", "messages", path, "--crm", crm).exit_code == 1


def test_of_two_imports_of_a_file_at_once_none_queues_a_row_twice(
    ask: Ask, crm, database: Database
):
    file = imports.file_of([Draft(to="+12025550123", content="x")] * 600)
    settings = settings_module.load()
    with database.transaction() as session:
        row = crms.get(session, crm)
        assert imports.begin(session, row, settings, file, clock.now(), is_again=False) == 0
    with database.transaction() as session:
        assert imports.begin(session, row, settings, file, clock.now(), is_again=True) == 0
        step = imports.step(session, row, settings, file, 0, clock.now())
        assert (len(step), sum(one.is_new for one in step)) == (500, 500)
    with pytest.raises(Conflict), database.transaction() as session:
        imports.step(session, row, settings, file, 0, clock.now())
    with database.transaction() as session:
        step = imports.step(session, row, settings, file, 500, clock.now())
        assert (len(step), sum(one.is_new for one in step)) == (100, 100)
    assert len(ask("messages", "--limit", "9999")) == 600


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
    assert result.stderr == "Exported 2 messages.\n"


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


def test_only_the_owner_can_read_what_is_exported(ask: Ask, crm, tmp_path: Path):
    before = os.umask(0)
    try:
        for name in ("new", "there"):
            file = tmp_path / name
            if name == "there":
                file.touch()
                file.chmod(0o666)
            ask("export", "messages", "--output", str(file))
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert sorted(one.name for one in tmp_path.iterdir() if "db" not in one.name) == [
        "new",
        "there",
    ]


def test_an_export_writes_through_no_link(ask: Ask, run: Run, crm, tmp_path: Path):
    other, link = tmp_path / "other", tmp_path / "link"
    other.write_text("keep")
    link.symlink_to(other)
    ask("export", "messages", "--output", str(link))
    assert other.read_text() == "keep"
    assert not link.is_symlink()
    assert run("export", "messages", "--output", "/dev/null").exit_code == 0
    missing = run("export", "messages", "--output", str(tmp_path / "no" / "file"))
    assert missing.exit_code == 1
    assert len(missing.output.splitlines()) == 1


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
    (text,) = [text for check, text in wrong if check == "device p" and "polled" in text]
    assert re.fullmatch(r"polled last at \d{4}-\d\d-\d\d \d\d:\d\d UTC, 3 hours ago", text)
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
        "text": "was seen 0 seconds ago",
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
            registry.get(session, "p").protocol = protocol
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


def _numbers_check(run: Run) -> dict[str, str]:
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    (found,) = [check for check in checks if check["check"] == "numbers"]
    return found


def test_the_doctor_says_when_one_number_is_two_people(run: Run, ask: Ask, crm):
    for number in ("+12025550123", "12025550124", "22922"):
        ask("send", "--crm", crm, "--to", number, "--content", "x")
    assert _numbers_check(run)["state"] == "ok"
    ask("send", "--crm", crm, "--to", "12025550123", "--content", "x")
    found = _numbers_check(run)
    assert found["state"] == "warning"
    assert found["text"] == "+12025550123 and 12025550123 are two people here"
    assert "SMSGW_DEFAULT_REGION" in found["advice"]


def test_the_doctor_warns_of_a_database_that_may_be_anybody(settings):
    remote = replace(settings, database_url="postgresql://u:hidden@a.example.org,b.example.org/x")
    found = doctor.encryption_of(remote)
    assert found.state == "warning"
    assert "a.example.org, b.example.org" in found.text
    assert "sslmode=verify-full" in found.advice
    assert "hidden" not in f"{found}"
    assert doctor.encryption_of(settings).state == "ok"


def test_a_word_in_the_place_of_a_message_id_is_answered_with_how_to_list_messages(run: Run):
    result = run("message", "list")
    assert result.exit_code == 1
    assert "no message 'list'" in result.output
    assert program.line("messages") in result.output
    assert "print" not in run("message", f"msg_{'0' * 32}").output


def test_the_doctor_needs_no_database_to_speak(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMSGW_DATABASE_URL", "postgresql://me:hidden@127.0.0.1:1/x")
    result = run("doctor")
    assert result.exit_code == 1
    assert "SMSGW_DATABASE_URL" in result.output
    assert "hidden" not in result.output


def test_a_webhook_from_its_making_to_its_end(ask: Ask, run: Run, crm, monkeypatch):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    made = ask("webhook", "add", "--crm", crm, HOOK, "--event", "message.sent")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["message.sent"]
    (listed,) = ask("webhook", "list")["data"]
    assert "secret" not in listed
    pinged = run("webhook", "test", made["id"], "--json")
    assert (pinged.exit_code, json.loads(pinged.stdout)["event_type"]) == (1, "webhook.ping")
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


def test_a_webhook_keeps_what_a_change_does_not_name(ask: Ask, crm, monkeypatch):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    ask("device", "add", "p", "--key")
    made = ask("webhook", "add", "--crm", crm, HOOK, "--event", "message.sent", "--device", "p")

    def changed(*arguments: str) -> tuple[str, list[str] | None, list[str] | None]:
        shape = ask("webhook", "change", made["id"], *arguments)
        (listed,) = ask("webhook", "list")["data"]
        assert listed == shape | {"crm": crm, "last_failure": None}
        return shape["url"], shape["events"], shape["device_ids"]

    assert changed("--url", f"{HOOK}/2") == (f"{HOOK}/2", ["message.sent"], ["p"])
    assert changed("--event", "message.failed") == (f"{HOOK}/2", ["message.failed"], ["p"])
    assert changed("--all-devices") == (f"{HOOK}/2", ["message.failed"], None)
    assert changed("--all-events", "--device", "p") == (f"{HOOK}/2", None, ["p"])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ("", 2, "give --url, --event, --all-events, --device or --all-devices"),
        ("--event message.sent --all-events", 2, "give either --event or --all-events"),
        ("--device p --all-devices", 2, "either --device or --all-devices"),
        ("--url http://10.0.0.1/x", 1, "10.0.0.1"),
        ("--event message.lost", 1, "message.lost"),
        ("--device nobody", 1, "nobody"),
    ],
)
def test_a_change_of_a_webhook_that_cannot_be_changes_nothing(
    ask: Ask, run: Run, crm, monkeypatch, arguments: str, exit_code: int, said: str
):
    monkeypatch.setenv("SMSGW_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    made = ask("webhook", "add", "--crm", crm, HOOK)
    refused = run("webhook", "change", made["id"], *arguments.split())
    assert (refused.exit_code, said in refused.output) == (exit_code, True), refused.output
    (listed,) = ask("webhook", "list")["data"]
    assert (listed["url"], listed["events"], listed["device_ids"]) == (HOOK, None, None)


def _beat_and_poll(
    database: Database,
    version: str,
    ago: timedelta = timedelta(0),
    protocol: str = protocols.CHT,
) -> None:
    moment = clock.now() - ago
    sightings = presence.Sightings()
    login = logins.find(database, "p", moment)
    assert login is not None
    sightings.note(login, moment, version, protocol)
    with database.transaction() as session:
        assert registry.get(session, "p").enabled
        housekeeping.note_heartbeat(session, "host:1", moment)
        sightings.write(session)
