"""Groups the commands, and ends them with a message and an exit code after errors."""

import sys
from typing import Any, NamedTuple

import click

from .. import __version__, logs, program
from ..environment import wants_colour
from ..errors import Conflict, GatewayError, NotFound
from ..lazy_imports import load
from ..settings import SettingsError
from . import options


class Listed(NamedTuple):
    """The module of this package with a command or a group, and what `smsgw --help` says about it."""

    module: str
    help: str


# Imported one by one, when they run: all together they take three times as long as most commands.
COMMANDS = {
    "audit": Listed(
        "audit",
        "Show who changed what, newest first.",
    ),
    "backup": Listed("backups", "Write the database to a file while the server runs."),
    "cancel": Listed("messages", "Cancel a message that no phone has yet."),
    "copy": Listed("copies", "Copy everything to another database. The server must be stopped."),
    "crm": Listed("crms", "Manage CRMs, the programs that send and receive SMS."),
    "db": Listed("setup", "Manage the tables of the database."),
    "device": Listed("devices", "Manage phones and their logins."),
    "doctor": Listed("doctor", "Check the server for problems."),
    "export": Listed("transfer", "Export messages to a file."),
    "import": Listed("transfer", "Queue the messages of a file."),
    "init": Listed(
        "setup",
        "Create or upgrade the database. A new database gets an operator, a phone and a CRM.",
    ),
    "message": Listed(
        "messages",
        "Show where a message is and what to do about it.",
    ),
    "messages": Listed("messages", "List messages of all CRMs, newest first."),
    "operator": Listed(
        "operators",
        "Manage the people who use this server. They are viewers, clerks and operators.",
    ),
    "opt-out": Listed("opt_outs", "Manage the numbers that want no messages of a CRM."),
    "quarantine": Listed("quarantine", "Manage what phones sent that could not be read."),
    "resend": Listed("messages", "Resend a message that failed, expired or is stuck."),
    "release": Listed(
        "backups",
        "Let phones send what is held since a restore or 'db reopen'.",
    ),
    "restore": Listed(
        "backups", "Put a backup in the place of the database. The server must be stopped."
    ),
    "send": Listed("messages", "Queue an SMS."),
    "serve": Listed(
        "serve", "Run the server and the worker, as app.py does. The worker delivers webhooks."
    ),
    "webhook": Listed("deliveries", "Manage the webhooks of CRMs and their deliveries."),
    "worker": Listed("worker", "Run only the worker."),
}

# The command that lists what was not found, by how the error begins.
_LISTS = {
    "no CRM": "crm list",
    "no delivery": "webhook deliveries ID",
    "no device": "device list",
    "no item": "quarantine list",
    "no message": "messages",
    "no operator": "operator list",
    "no webhook": "webhook list",
}


class Cli(click.Group):
    """Ends with one line and exit code 1 after an expected error; wrong usage ends with 2, as usual with click."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as error:  # standard output on a full disk, for one; click itself ends where a pipe is closed
            what = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {what}{error.strerror or error}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        logs.configure("text", "WARNING")
        # Otherwise click decides: colours for terminals only.
        ctx.color = None if wants_colour() else False
        try:
            return super().invoke(ctx)
        except (GatewayError, SettingsError) as error:
            raise click.ClickException(_one_line(f"{error}{_next_command(error)}")) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            load(f"{__package__}.{COMMANDS[cmd_name].module}")
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the command that was perhaps meant: click itself looks among the imported ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = click.Group(
            commands=[click.Command(name, help=command.help) for name, command in COMMANDS.items()]
        )
        listed.format_commands(ctx, formatter)


@options.env_file
@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="smsgw %(version)s")
def root() -> None:
    """Operate an SMS gateway server for Android phones. docs/settings.md lists its settings."""


def group(name: str) -> click.Group:
    """Add a group of commands, which is among `COMMANDS`, to the command line and return it."""
    made = click.Group(name, help=COMMANDS[name].help)
    root.add_command(made)
    return made


def _next_command(error: Exception) -> str:
    """Return the command that lists what there is, or that enables what is disabled."""
    if isinstance(error, Conflict) and error.code == "webhook_disabled":
        return f" with {program.line('webhook enable ID')}"
    beginning = " ".join(str(error).split()[:2]) if isinstance(error, NotFound) else ""
    return f"; see {program.line(_LISTS[beginning])}" if beginning in _LISTS else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
