"""Reads typed values from environment variables, and refuses those that cannot be used by the variable's name."""

import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

_YES = {"true", "t", "yes", "y", "on", "1"}
_NO = {"false", "f", "no", "n", "off", "0"}

N = TypeVar("N", int, float)


class EnvError(ValueError):
    """A variable has a value that cannot be used; the message is one line that names it and not its value."""


class Env:
    """The variables whose names begin with `prefix`, which all calls leave out. A variable that is empty is set."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def text(self, name: str, default: str, one_of: Collection[str] = ()) -> str:
        """Return the text as it is; raise `EnvError` where it is none of `one_of`."""
        value = os.environ.get(self._prefix + name, default)
        if one_of and value not in one_of:
            raise self._error(name, " or ".join(one_of))
        return value

    def texts(self, name: str) -> list[str]:
        """Return the texts between the commas."""
        text = self.text(name, "")
        return text.split(",") if text else []

    def flag(self, name: str, default: bool) -> bool:
        """Return whether the word is one for yes."""
        word = self.text(name, str(default)).lower()
        if word not in _YES | _NO:
            raise self._error(name, "true or false")
        return word in _YES

    def whole(self, name: str, default: int, least: int, most: int | None = None) -> int:
        """Return the whole number, from `least` to `most`."""
        return self._number(name, int, default, least, most)

    def number(self, name: str, default: float, least: float, most: float) -> float:
        """Return the number, from `least` to `most`."""
        return self._number(name, float, default, least, most)

    def _number(
        self, name: str, kind: Callable[[str], N], default: N, least: N, most: N | None
    ) -> N:
        try:
            value = kind(self.text(name, str(default)))
        except ValueError:
            value = None
        if value is None or not least <= value <= (math.inf if most is None else most):
            what = "a whole number" if kind is int else "a number"
            end = "" if most is None else f" and at most {most:,}"
            raise self._error(name, f"{what}, at least {least:,}{end}")
        return value

    def _error(self, name: str, what: str) -> EnvError:
        return EnvError(f"{self._prefix}{name} must be {what}")


def with_values(values: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with these variables, for a program that is run."""
    return {**os.environ, **values}


def wants_colour() -> bool:
    """Return whether terminals may be sent colours: NO_COLOR is no-color.org's, and a dumb terminal shows codes."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
