"""`opt-out …`, and what files and single messages of the command line meet of opt-outs and the loop guard."""

from pathlib import Path

import pytest

from .conftest import Ask, Run

NUMBER = "+12025550112"


@pytest.fixture
def crm(ask: Ask) -> str:
    return ask("crm", "add", "clinic")["id"]


def written(tmp_path: Path, *rows: str) -> str:
    path = tmp_path / "messages.csv"
    path.write_text("\n".join(["to,content,reference", *rows]) + "\n")
    return str(path)


def test_a_number_is_put_on_a_list_shown_and_taken_off(ask: Ask, run: Run, crm: str):
    assert ask("opt-out", "list") == []
    queued = ask("send", "--crm", "clinic", "--to", NUMBER, "--content", "hello")
    made = ask("opt-out", "add", "+1 202 555 0112", "--crm", "clinic", "--note", "by letter")
    assert (made["number"], made["source"], made["note"]) == (NUMBER, "cli", "by letter")
    assert ask("message", queued["id"])["reason"] == "opted_out"
    (shown,) = ask("opt-out", "list", "--crm", "clinic")
    assert (shown["number"], shown["crm"], shown["crm_id"]) == (NUMBER, "clinic", crm)
    refused = run("send", "--crm", "clinic", "--to", NUMBER, "--content", "hello")
    assert refused.exit_code == 1
    assert "opted out" in refused.output
    assert ask("opt-out", "remove", NUMBER, "--crm", "clinic")["removed"]
    assert run("opt-out", "remove", NUMBER, "--crm", "clinic").exit_code == 1
    assert ask("send", "--crm", "clinic", "--to", NUMBER, "--content", "hello")["id"]


@pytest.mark.parametrize("number", ["nobody", "1 and 2"])
def test_what_is_no_number_is_refused_in_one_line(run: Run, crm, number: str):
    result = run("opt-out", "add", number, "--crm", "clinic")
    assert result.exit_code == 1
    assert result.output.startswith("Error: number: ")


def test_the_rows_of_a_file_are_named_that_go_to_who_opted_out_or_repeat_a_text_too_often(
    ask: Ask, run: Run, crm, tmp_path: Path
):
    ask("opt-out", "add", NUMBER, "--crm", "clinic")
    rows = ["+12025550113,hello,", f"{NUMBER},hello,", *["+12025550114,same,"] * 6]
    refused = run("import", "messages", written(tmp_path, *rows), "--crm", "clinic")
    assert refused.exit_code == 1
    assert "row 3: to: This number has opted out" in refused.output
    assert "row 9: content: The same text" in refused.output
    assert "2 rows are invalid" in refused.output
    assert ask("messages") == []


def test_a_file_with_references_can_be_imported_again_although_a_number_opted_out(
    ask: Ask, crm, tmp_path: Path
):
    path = written(tmp_path, f"{NUMBER},hello,a", "+12025550113,hello,b")
    assert ask("import", "messages", path, "--crm", "clinic")["imported_count"] == 2
    ask("opt-out", "add", NUMBER, "--crm", "clinic")
    assert ask("import", "messages", path, "--crm", "clinic") == {
        "imported_count": 0,
        "already_there_count": 2,
    }


def test_a_crm_gets_another_loop_guard(ask: Ask, run: Run, crm, tmp_path: Path):
    assert ask("crm", "limit", "clinic", "--loop-guard", "1")["loop_guard"] == 1
    path = written(tmp_path, f"{NUMBER},hello,", f"{NUMBER},hello,")
    assert "row 3: content: " in run("import", "messages", path, "--crm", "clinic").output
    assert ask("crm", "limit", "clinic", "--loop-guard", "0")["loop_guard"] == 0
    assert ask("import", "messages", path, "--crm", "clinic")["imported_count"] == 2
