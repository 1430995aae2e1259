"""Writes files with numbers, texts and secrets that only their owner can read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import click


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """A file with mode 0600 that takes the place of `path` at the end, whole, or is gone after an exception.

    It takes the place of a link too, not of what that points at. Devices and pipes are written to as they are.
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
