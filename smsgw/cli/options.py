"""Provides the options that several commands share."""

import click

from ..settings import HIGHEST_LIMIT
from .times import TimeParameter

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
