"""Checks the pages against the project: links, file names, commands, options, settings and targets of make."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from smsgw import env_files, settings
from smsgw.cli.entry import root
from tests.commands import every_command, first_words
from tests.running import ROOT

PAGES = sorted(
    {
        path
        for pattern in (
            "*.md",
            ".github/**/*.md",
            "docs/*.md",
            "demo/*.md",
            "bench/*.md",
            "tests/*.md",
        )
        for path in ROOT.glob(pattern)
    }
)
# The change log speaks of what was; the other pages speak of what is.
CURRENT = [path for path in PAGES if path.name != "CHANGELOG.md"]
NAMED_IN = (
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/releasing.md",
    "tests/README.md",
    "bench/README.md",
)
# Which test runs the command lines of the pages that begin so, or why none does.
RUN_BY = {
    r"\.venv/bin/python -m smsgw ": "tests/cli/test_documented_commands.py",
    r"curl |export ": "tests/clients/test_documented_requests.py",
    r"apprise ": "tests/clients/test_recipes.py",
    r"python3 demo/(server|phone)\.py|make demo": "tests/demo/test_documented_programs.py",
    r"python3 demo/crm\.py": "tests/demo/test_crm.py",
    r"make run": "tests/test_walk.py",
    r"(SMSGW_\w+=\S+ )+make run$": "tests/test_pages.py",
    r"make (test|setup|lint|wheel|bench|bench-full|bench-quick)\b": ".ci/run",
    r"make deb && apt install ": "deploy/debian/try",
    r"(CHAOS_ROUNDS=1000 )?make chaos": "tests/chaos/test_rounds.py",
    r"PROMETHEUS_MULTIPROC_DIR=\S+ gunicorn ": "tests/ops/test_ops.py",
    r"\.venv/bin/python -m pip install -r requirements-rabbitmq.txt": "its packages are in requirements-dev.txt",
    r"make deb\b": "deploy/debian/try",
}
BEGINS_A_COMMAND = re.compile(
    r"(curl|export|make|python3 demo/\S+|\.venv/bin/python -m \S+|[A-Z_]+=\S+ gunicorn|apprise) "
)
THE_SYSTEM_SAYS = ("Address already in use",)
IN_A_CHECKOUT = ".venv/bin/python -m smsgw "
COMMANDS = first_words()


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(path: Path) -> Iterator[str]:
    """Each line of the page's blocks and each piece of code in its text."""
    for number, part in enumerate(re.split(r"^ *```\w*\n", path.read_text(), flags=re.MULTILINE)):
        yield from part.splitlines() if number % 2 else re.findall(r"`([^`]+)`", part)


def commands_of(path: Path, is_written_out: bool = False) -> Iterator[list[str]]:
    """The words of each command of ours that the page shows: those written out for a checkout, and with
    `is_written_out` false also those that begin with their group."""
    groups = {name for name in COMMANDS if _is_group(name)}
    for code in code_of(path):
        if IN_A_CHECKOUT in code:
            yield shlex.split(code.partition(IN_A_CHECKOUT)[2], comments=True)
        elif not is_written_out and re.match(rf"({'|'.join(groups)}) [a-z-]+( |$)", code):
            yield shlex.split(code)


def _heading_ids(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_each_link_leads_to_a_file_and_to_a_heading_in_it(path: Path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if link.startswith(("http", "/docs/")):
            continue
        file, _, heading = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not heading or heading in _heading_ids(target), link


def test_the_readme_is_short_and_its_pictures_are_small():
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) < 200
    pictures = re.findall(r"!\[.+?\]\((.*?)\)", readme.read_text())
    assert len(pictures) == 3
    assert all((ROOT / picture).stat().st_size <= 60_000 for picture in pictures)


@pytest.mark.parametrize("path", CURRENT, ids=_name)
def test_each_test_that_is_named_exists(path: Path):
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text()):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), name


def test_each_threat_has_a_test():
    page = (ROOT / "docs" / "security.md").read_text()
    threats = page.partition("## Threats")[2]
    rows = re.findall(r"^\| (?!Threat|---)(.*?) \|.*?\|(.*)\|$", threats, re.MULTILINE)
    assert len(rows) > 15
    assert not [threat for threat, tests in rows if "::test_" not in tests]


@pytest.mark.parametrize("name", NAMED_IN)
def test_each_file_and_folder_that_is_named_exists(name: str):
    starts = (ROOT, ROOT / "smsgw", (ROOT / name).parent)
    for code in re.findall(r"`([^`\s]+)`", (ROOT / name).read_text()):
        is_a_path = re.fullmatch(r"[\w./-]+(\.(py|md|toml|txt)|/)", code)
        if is_a_path and not code.startswith("/"):
            is_a_name = "/" not in code and any((ROOT / "smsgw").rglob(code))
            assert is_a_name or any((start / code).exists() for start in starts), code


@pytest.mark.parametrize("path", CURRENT, ids=_name)
def test_each_command_exists_with_its_options_and_arguments(path: Path):
    for words in commands_of(path):
        command: click.Command = root
        context = click.Context(root, info_name="smsgw")
        rest = words
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(context, rest[0])
            assert found is not None, words
            command, rest = found, rest[1:]
        context = click.Context(command)
        _, too_many, _ = command.make_parser(context).parse_args(list(rest))
        assert not too_many, words


@pytest.mark.parametrize("program", ["crm", "phone", "server"])
def test_each_option_of_a_demo_program_exists(program: str):
    line = rf"demo/{program}\.py([^\n`]*)"
    shown = {
        option
        for path in CURRENT
        for arguments in re.findall(line, path.read_text())
        for option in re.findall(r"--[a-z-]+", arguments)
    }
    command = [sys.executable, str(ROOT / "demo" / f"{program}.py"), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown <= set(re.findall(r"--[a-z-]+", text))


@pytest.mark.parametrize("path", CURRENT, ids=_name)
def test_each_setting_and_each_target_of_make_exists(path: Path):
    named = set(re.findall(r"\bSMSGW_[A-Z_]+[A-Z]\b", path.read_text()))
    assert named <= {*settings.environment_names(), env_files.VARIABLE}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        target
        for code in code_of(path)
        for target in re.findall(r"(?:^| )make ([a-z-]+)", code.partition("#")[0])
    }
    assert shown <= targets


def test_the_table_of_commands_lists_all_of_them():
    page = (ROOT / "docs" / "commands.md").read_text()
    shown = set()
    for line in re.findall(r"^\| (`.*?) \|(?: |$)", page, re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", line):
            group, _, rest = code.replace("\\|", "|").partition(" ")
            names = rest.split("|") if "|" in rest or _is_group(group) else [""]
            shown |= {f"{group} {name.split(' ')[0]}".strip() for name in names}
    assert shown == set(every_command())


def test_each_command_line_of_the_pages_is_run_by_a_test():
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "demo" / "README.md"):
        for block in re.findall(r"^ *```\n(.*?)^ *```", path.read_text(), re.MULTILINE | re.DOTALL):
            lines = [line for line in block.splitlines() if BEGINS_A_COMMAND.match(line)]
            unknown = [line for line in lines if not any(re.match(known, line) for known in RUN_BY)]
            assert not unknown, (path.name, unknown)
    for test in RUN_BY.values():
        assert " " in test or (ROOT / test).exists(), test


def test_each_start_with_settings_that_the_pages_show_has_good_settings(
    monkeypatch: pytest.MonkeyPatch,
):
    starts = {
        line for path in CURRENT for line in code_of(path) if re.match(r"SMSGW_.* make run$", line)
    }
    assert len(starts) > 2
    for line in starts:
        for name, value in (word.split("=", 1) for word in line.split()[:-2]):
            monkeypatch.setenv(name, value)
        settings.load()


def test_each_error_text_of_the_page_on_troubleshooting_is_said_by_the_program():
    page = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## By what it says")[2]
    source = "\n".join(path.read_text() for path in (ROOT / "smsgw").rglob("*.py"))
    # A literal that goes on in the next line is one text.
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    cells = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \| (?!Cause)", page, re.MULTILINE)
    texts = [text for cell in cells for text in re.findall(r"`([^`]+)`", cell) if text != "code"]
    assert len(texts) > 30
    for text in texts:
        for part in filter(None, (piece.strip(" :") for piece in text.split("…"))):
            assert part in source or part in THE_SYSTEM_SAYS, part


def _is_group(name: str) -> bool:
    return isinstance(COMMANDS.get(name), click.Group)


def test_the_change_log_has_each_kind_of_change_once_in_a_version():
    for version in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert len(kinds) == len(set(kinds)), version.partition("\n")[0]
