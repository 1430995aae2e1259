"""All commands of the command line, by their words."""

from collections.abc import Iterator

import click

from smsgw.cli.entry import root


def first_words() -> dict[str, click.Command]:
    """The commands and groups directly below `smsgw`."""
    context = click.Context(root)
    found = {name: root.get_command(context, name) for name in root.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def every_command() -> Iterator[str]:
    """The words of each command: `doctor`, `device add`."""
    for name, command in first_words().items():
        if isinstance(command, click.Group):
            yield from (f"{name} {inner}" for inner in command.commands)
        else:
            yield name
