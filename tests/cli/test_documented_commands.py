"""Runs each command of the pages that is written out for a checkout, in the order of the pages."""

from pathlib import Path

import pytest

from ..test_pages import CURRENT, commands_of
from .conftest import Ask, Run

# They run until they are stopped; tests/server and tests/test_walk.py run them.
ENDLESS = ("serve", "worker")
# Instead of a name that no DNS knows; nothing is sent there.
PUBLIC = "8.8.8.8"
# Instead of a database that is there nowhere.
EMPTY = "postgresql://user:password@localhost/name"


def test_each_documented_command_runs(
    run: Run, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("FILE.csv").write_text("to,content\n+12025550123,Hello\n")
    for name in ("my-program", "clinic"):
        ask("crm", "add", name)
    ask("device", "add", "front-desk")
    ids = {
        "message": ask("send", "--crm", "clinic", "--to", "+12025550123", "--content", "x")["id"],
        "webhook": ask("webhook", "add", "--crm", "clinic", f"https://{PUBLIC}/sms")["id"],
    }
    added = {("crm", "my-program"), ("device", "front-desk")}
    for words in _written_out():
        group, *rest = ["front-desk" if word == "NAME" else word for word in words]
        if group in ENDLESS or (rest[:1] == ["add"] and (group, rest[1]) in added):
            continue
        if rest[:1] == ["add"]:
            added.add((group, rest[1]))
        rest = [word.replace("broker.example.org", PUBLIC) for word in rest]
        rest = [word.replace(EMPTY, f"sqlite:///{tmp_path}/copied.db") for word in rest]
        result = run(group, *[ids[group] if word == "ID" else word for word in rest])
        # `doctor` ends with 1 where it finds something wrong.
        # Without a worker, one finds that wrong and the other gets no response.
        may_fail = group == "doctor" or words[:2] == ["webhook", "test"]
        assert result.exit_code == 0 or may_fail, (words, result.output)
        if group == "copy":
            ask("db", "reopen")
    assert Path("messages.csv").is_file()


def _written_out() -> list[list[str]]:
    found = [words for page in CURRENT for words in commands_of(page, is_written_out=True)]
    assert len(found) > 20
    return found
