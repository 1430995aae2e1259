"""Writes lines to a terminal safely, whatever they contain and even if standard output is broken."""

from __future__ import annotations

import os
import sys
from datetime import datetime


def say(text: str) -> None:
    """Print one line at once, after the time of day."""
    write(f"{datetime.now():%H:%M:%S} {safe(text)}")


def write(text: str) -> None:
    """The text's lines, at once and in one piece. When standard output breaks or is full, all that
    follows is dropped without a word: what a program does never depends on who reads of it."""
    if sys.stdout is None:  # closed before the start
        return
    lines = "\n".join(safe(line) for line in text.split("\n"))
    try:
        sys.stdout.write(f"{lines}\n")
        sys.stdout.flush()
    except OSError:
        _drop_output()


def safe(text: str) -> str:
    """The text as one line that cannot steer a terminal: what is not printable, line ends too, and
    what standard output's encoding lacks as Python escapes."""
    seen = "".join(char if char.isprintable() else _escaped(char) for char in text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return seen.encode(encoding, "backslashreplace").decode(encoding)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _drop_output() -> None:
    # not closed but led elsewhere: what is still buffered must go somewhere at the end
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
