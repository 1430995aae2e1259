"""Commands as they are typed, run in this process against a real database."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from smsgw.cli.entry import root
from tests.conftest import POSTGRESQL_PROGRAMS

Run = Callable[..., Result]
Ask = Callable[..., Any]


@pytest.fixture
def run(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command; the settings are those of this test's database."""
    monkeypatch.setenv("SMSGW_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("SMSGW_SECRET_KEY", "k" * 64)
    # The programs of the PostgreSQL that the tests bring along: the machine's may be older.
    monkeypatch.setenv("PATH", f"{POSTGRESQL_PROGRAMS}:{os.environ['PATH']}")

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(root, list(arguments), **options)

    root_logger = logging.getLogger()
    before = root_logger.handlers, root_logger.level
    yield invoke
    root_logger.handlers, root_logger.level = before


@pytest.fixture
def ask(run: Run) -> Ask:
    """Runs a command with `--json` and returns what it printed, read."""

    def invoke(*arguments: str) -> Any:
        result = run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return invoke
