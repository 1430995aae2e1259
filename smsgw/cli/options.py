"""Provides the options that several commands share."""

from pathlib import Path
from typing import TypeVar

import click

from .. import env_files
from ..settings import HIGHEST_LIMIT
from .times import TimeParameter

C = TypeVar("C", bound=click.Command)


class Number(click.IntRange):
    """A whole number, which `--help` calls just that."""

    name = "number"


CRM = click.option(
    "--crm", "crm_name", required=True, metavar="NAME", help="The CRM that sends the messages."
)
CRM_FILTER = click.option("--crm", "crm_name", metavar="NAME", help="Only those of this CRM.")
LIMIT = Number(0, HIGHEST_LIMIT)
MINUTES = click.option(
    "--minutes",
    type=Number(0, 24 * 60),
    default=10,
    show_default=True,
    help="The minutes that registration stays open; 0 closes it at once.",
)
SINCE = click.option(
    "--since",
    type=TimeParameter(),
    help="Only messages since this time: 2026-01-31, 2026-01-31T12:00:00Z, or 7d for the last 7 days.",
)


def env_file(command: C) -> C:
    """Add `--env-file`, which may stand before and after the name of a command, behind its own options."""
    option = click.Option(
        ["--env-file"],
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        is_eager=True,
        callback=_use,
        help="Read settings from this file; otherwise from SMSGW_ENV_FILE or /etc/smsgw/smsgw.env.",
    )
    command.params.append(option)
    return command


def _use(_context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        env_files.use(path)
