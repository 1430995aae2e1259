"""Provides the options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from .. import env_files
from ..settings import HIGHEST_LIMIT
from .times import TimeParameter

F = TypeVar("F", bound=Callable[..., object])

CRM = click.option(
    "--crm", "crm_name", required=True, metavar="NAME", help="The CRM that sends the messages."
)
CRM_FILTER = click.option("--crm", "crm_name", metavar="NAME", help="Only those of this CRM.")
LIMIT = click.IntRange(0, HIGHEST_LIMIT)
MINUTES = click.option(
    "--minutes",
    type=click.IntRange(0, 24 * 60),
    default=10,
    show_default=True,
    help="The minutes that registration stays open; 0 closes it at once.",
)
SINCE = click.option(
    "--since",
    type=TimeParameter(),
    help="Only messages since this time: 2026-01-31, 2026-01-31T12:00:00Z, or 7d for the last 7 days.",
)


def env_file(function: F) -> F:
    """Add `--env-file`, which may stand before and after the name of a command."""
    return click.option(
        "--env-file",
        type=click.Path(dir_okay=False, path_type=Path),
        expose_value=False,
        is_eager=True,
        callback=_use,
        help="Read settings from this file; otherwise from SMSGW_ENV_FILE or /etc/smsgw/smsgw.env.",
    )(function)


def _use(_context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        env_files.use(path)
