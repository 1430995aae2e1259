"""Prints results: JSON with `--json`, a table on a terminal, tab-separated columns otherwise."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..lazy_imports import lazy

if TYPE_CHECKING:
    from . import tables
else:
    tables = lazy(f"{__package__}.tables")

Row = Mapping[str, Any]
_JSON = "smsgw.json"


def command(group: click.Group, name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that makes a function a command of the group, with the option `--json`."""

    def make(function: Callable[..., None]) -> click.Command:
        option = click.option(
            "--json",
            "as_json",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print JSON.",
        )
        return group.command(name)(option(function))

    return make


def rows(found: Sequence[Row], columns: Sequence[str], nothing: str) -> None:
    """Print a list: complete as JSON, otherwise these columns, or `nothing` if the list is empty."""
    rows_of(found, found, columns, nothing)


def rows_of(answer: Any, found: Sequence[Row], columns: Sequence[str], nothing: str) -> None:
    """Print a list; as JSON, print `answer` instead."""
    if wants_json():
        print_json(answer)
    elif not found:
        click.echo(nothing, err=True)
    elif sys.stdout.isatty():
        tables.show([[_cell(row.get(column)) for column in columns] for row in found], columns)
    else:
        for row in found:
            click.echo("\t".join(_cell(row.get(column)) for column in columns))


def one(answer: Row) -> None:
    """Print one object, with a line for each of its values."""
    if wants_json():
        print_json(answer)
        return
    width = max(map(len, answer), default=0)
    for name, value in answer.items():
        click.echo(f"{name:<{width}}  {_cell(value)}")


def say(text: str, answer: Row) -> None:
    """Print a sentence, or with `--json` the values in it."""
    if wants_json():
        print_json(answer)
    else:
        click.echo(text)


def print_json(answer: Any) -> None:
    """Print indented JSON."""
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def wants_json() -> bool:
    """Return whether this command was run with `--json`."""
    return bool(click.get_current_context().meta.get(_JSON))


def _remember(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.meta[_JSON] = value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    # Texts come from anybody, and a terminal would act on their control characters.
    return "".join(c if c.isprintable() else " " for c in str(value))
