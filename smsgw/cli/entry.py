"""Groups the commands, and ends them with a message and an exit code after errors."""

from typing import Any

import click

from .. import __version__, logs
from ..errors import GatewayError
from ..settings import SettingsError
from ..store import outages


class Cli(click.Group):
    """Ends with one line and exit code 1 after an expected error; wrong usage ends with 2, as usual with click."""

    def invoke(self, ctx: click.Context) -> Any:
        logs.configure("text", "WARNING")
        try:
            return super().invoke(ctx)
        except (GatewayError, SettingsError) as error:
            raise click.ClickException(_one_line(str(error))) from None
        except outages.DatabaseError as error:
            raise click.ClickException(f"the database: {outages.reason(error)}") from None


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="smsgw %(version)s")
def root() -> None:
    """Operate an SMS gateway server for Android phones. Settings are environment variables, see docs/settings.md."""


def group(name: str, help_text: str) -> click.Group:
    """Add a group of commands to the command line and return it."""
    made = click.Group(name, help=help_text)
    root.add_command(made)
    return made


def _one_line(text: str) -> str:
    return " ".join(text.split())
