"""Writes files that only their owner can read, because they contain numbers, texts and secrets."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import click


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a file with mode 0600 that replaces `path` at the end, or is removed after an exception.

    A link is replaced itself, not its target. Devices and pipes are written to directly.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as file:
                yield file
            return
        with _new(path) as file:
            yield file
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror or error}") from None


@contextmanager
def _new(path: Path) -> Iterator[TextIO]:
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(made, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(made)
