"""`smsgw --help` and the commands import what they need and no more."""

import re

import click
import pytest
from click.testing import CliRunner

from smsgw.cli.entry import COMMANDS, root
from tests.commands import first_words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_lists_each_command_with_its_own_help(name: str):
    found = first_words()[name]
    listed = click.Command(name, help=COMMANDS[name].help)
    assert listed.get_short_help_str(200) == found.get_short_help_str(200)


def test_every_command_of_a_module_is_listed():
    assert set(first_words()) == set(root.commands) == set(COMMANDS)


def test_the_help_shows_all_commands():
    shown = CliRunner().invoke(root, ["--help"]).stdout
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_no_summary_is_cut_off_and_own_options_come_before_those_that_all_have_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("COLUMNS", "80")
    groups = [name for name, made in first_words().items() if isinstance(made, click.Group)]
    for arguments in ([], *([name] for name in groups)):
        assert (
            "..."
            not in CliRunner().invoke(root, [*arguments, "--help"]).stdout.partition("Commands:")[2]
        )
    shown = CliRunner().invoke(root, ["webhook", "add", "--help"]).stdout
    names = re.findall(r"^  (--[a-z-]+)", shown, re.M)
    assert names == ["--crm", "--event", "--device", "--json", "--env-file"]


def test_a_command_that_does_not_exist_is_answered_with_the_one_that_was_perhaps_meant():
    refused = CliRunner().invoke(root, ["devices"])
    assert refused.exit_code == 2
    assert "Did you mean 'device'?" in refused.output
