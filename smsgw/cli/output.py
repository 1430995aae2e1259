"""Prints results: JSON with `--json`, for people on a terminal, and tab-separated columns otherwise."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..lazy_imports import lazy
from . import cells, options

if TYPE_CHECKING:
    from . import tables
else:
    tables = lazy(f"{__package__}.tables")

Row = Mapping[str, Any]
# A row as lines, for terminals that are too narrow for a table of such rows.
Block = Callable[[Row], list[str]]
NARROW = 100
_JSON = "smsgw.json"
_NO_TERMINAL = 1_000_000


def command(group: click.Group, name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that makes a function a command of the group, with the option `--json`."""

    def make(function: Callable[..., None]) -> click.Command:
        made = group.command(name)(function)
        made.params.append(_json_option())
        return options.env_file(made)

    return make


def rows(
    found: Sequence[Row],
    columns: Sequence[str],
    nothing: str,
    *,
    answer: Any = None,
    least: Sequence[str] = (),
    block: Block | None = None,
) -> None:
    """Print a list: as JSON all of it, or `answer` instead; otherwise these columns, or `nothing` if it is empty.

    A terminal shows what fits: without the columns of `least` first, and with a `block`, below 100 columns, that
    instead of a table.
    """
    if wants_json():
        print_json(found if answer is None else answer)
    elif not is_terminal():
        click.echo("\t".join(columns))
        for row in found:
            click.echo("\t".join(cells.whole(row.get(column)) for column in columns))
        if not found:
            click.echo(nothing, err=True)
    elif not found:
        click.echo(nothing, err=True)
    elif block is not None and width() < NARROW:
        click.echo("\n\n".join("\n".join(block(row)) for row in found))
    else:
        table(found, columns, least)


def table(found: Sequence[Row], columns: Sequence[str], least: Sequence[str] = ()) -> None:
    """Print rows as a table with titles that fits the terminal."""
    titles, *lines = tables.lines(found, columns, least, width())
    click.secho(titles, bold=True)
    for line in lines:
        click.echo(line)


def one(answer: Row) -> None:
    """Print one object, with a line for each of its values; on a terminal, with a table for each list of objects."""
    if wants_json():
        print_json(answer)
        return
    shown = {name: value for name, value in answer.items() if not _is_left_out(value)}
    longest = max(map(len, shown), default=0)
    for name, value in shown.items():
        paragraph(cells.whole(value), f"{name:<{longest}}  ")
    for name, value in answer.items():
        if _is_table(value):
            click.echo(f"\n{cells.title(name).capitalize()}")
            table(value, list(value[0]))


def once(answer: Row, then: str = "") -> None:
    """Print an object with a secret that is never shown again, and say so."""
    one(answer)
    if not wants_json():
        advice(f"keep it: the secret is shown only now. {then}".rstrip(), err=True)


def paragraph(text: str, start: str = "", colour: str | None = None, *, err: bool = False) -> None:
    """Print a text behind `start`, in as many lines as the terminal needs; words, ids and URLs stay whole."""
    lines = tables.wrapped(text, start, width()) if is_terminal() else [start + text]
    if colour is not None:
        lines[0] = click.style(start, fg=colour) + lines[0][len(start) :]
    click.echo("\n".join(lines), err=err)


def advice(text: str, start: str = "", err: bool = False) -> None:
    """Print what to do behind an arrow, as far to the right as `start` is long."""
    paragraph(text, f"{' ' * len(start)}-> ", err=err)


def shortened(text: str) -> str:
    """Return the beginning of a text, as much as fits into a line of the terminal."""
    return tables.shortened(text, width())


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


def is_terminal() -> bool:
    """Return whether people read standard output."""
    return sys.stdout.isatty()


def width() -> int:
    """Return the columns of the terminal, which COLUMNS can say; as many as wanted where there is none."""
    return shutil.get_terminal_size().columns if is_terminal() else _NO_TERMINAL


def _json_option() -> click.Option:
    return click.Option(
        ["--json", "as_json"],
        is_flag=True,
        expose_value=False,
        callback=_remember,
        help="Print JSON.",
    )


def _is_left_out(value: Any) -> bool:
    return is_terminal() and (value is None or _is_table(value))


def _is_table(value: Any) -> bool:
    return is_terminal() and isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _remember(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.meta[_JSON] = value
