"""Loads the settings and opens the database for a command."""

import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import click

from .. import program
from .. import settings as settings_module
from ..core.operations import copy_marks
from ..errors import GatewayError
from ..server import address
from ..settings import Settings
from ..store import migrations, outages
from ..store.db import Actor, Database

_POOL = 2


class NotReady(GatewayError):
    """The tables of the database are not those of this version."""

    code = "not_ready"


class DatabaseUnusable(GatewayError):
    """The database cannot be used; the message says why in one line."""

    code = "database_unusable"


@dataclass(frozen=True)
class CommandContext:
    """The settings and the database."""

    settings: Settings
    database: Database


@contextmanager
def opened() -> Iterator[CommandContext]:
    """Open the database; raise `NotReady`, which names the command to run, if its tables are of another version.

    Raises `Copied` where it was copied to another one, which is to be used instead.
    """
    with at_head() as context:
        copy_marks.refuse(context.database)
        yield context


@contextmanager
def at_head() -> Iterator[CommandContext]:
    """Open the database as `opened` does, also one that was copied."""
    with unchecked() as context:
        revision = migrations.current(context.database)
        if revision is None:
            raise NotReady(f"the database is new: run {program.line('init')}")
        if revision != migrations.head():
            raise NotReady(migrations.mismatch(revision))
        yield context


@contextmanager
def unchecked() -> Iterator[CommandContext]:
    """Open the database, whatever its tables, with the address at which the server was last started in the settings."""
    settings = address.as_served(settings_module.load())
    for warning in settings_module.warnings():
        click.echo(f"warning: {warning}", err=True)
    with database_errors(), connected(settings.database_url) as database:
        yield CommandContext(settings, database)


@contextmanager
def connected(url: str) -> Iterator[Database]:
    """Give the database with this URL."""
    with closing(Database(url, pool_size=_POOL, find_actor=_find_actor)) as database:
        yield database


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise `DatabaseUnusable` in place of what the database raises."""
    try:
        yield
    except outages.DatabaseError as error:
        raise DatabaseUnusable(f"the database: {outages.reason(error)}") from None


def _find_actor() -> Actor:
    """Return the user of this machine who runs the command."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return Actor("cli")
    return Actor("cli", name, name)
