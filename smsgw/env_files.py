"""Adds the variables of a file to the environment, so that commands know the settings of the server."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

VARIABLE = "SMSGW_ENV_FILE"
USUAL = Path("/etc/smsgw/smsgw.env")

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_ESCAPED = re.compile(r'\\(["\\$`])')


class EnvFileError(ValueError):
    """A file that cannot be read; the message is one line that names it and none of its values."""


def use(path: Path) -> None:
    """Read this file instead of the usual one, in this process and those that it starts."""
    os.environ[VARIABLE] = str(path.absolute())


def add() -> None:
    """Add the variables of the file that SMSGW_ENV_FILE names, or of /etc/smsgw/smsgw.env where this user may read it.

    What is in the environment already stays. With an empty SMSGW_ENV_FILE no file is read. Raises `EnvFileError`.
    """
    named = os.environ.get(VARIABLE)
    if named == "":
        return
    path = Path(named) if named else USUAL
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        if named:
            raise EnvFileError(f"{VARIABLE}: {path}: {error.strerror}") from None
        return
    except UnicodeDecodeError:
        raise EnvFileError(f"{path} is not a text in UTF-8") from None
    for name, value in _variables(path, text):
        os.environ.setdefault(name, value)


def warnings(settings: Sequence[str]) -> list[str]:
    """Return a line for each `SMSGW_` variable that is none of these settings, and for a file not to be read."""
    known = [*settings, VARIABLE]
    unknown = sorted(name for name in os.environ if name.startswith("SMSGW_") and name not in known)
    found = [f"{name} is not a setting{_similar(name, known)}" for name in unknown]
    if _is_unreadable():
        found.append(f"this user may not read the settings of the server in {USUAL}")
    return found


def _similar(name: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f": did you mean {found[0]}?" if found else " (docs/settings.md lists them)"


def _is_unreadable() -> bool:
    """Return whether the usual file would be read and this user may not."""
    if VARIABLE in os.environ:
        return False
    try:
        USUAL.open("rb").close()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _variables(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """Yield names and values as systemd reads them: comments begin a line, quotes around a value are left out."""
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise EnvFileError(f"{path}: line {number} is not like NAME=value")
        yield found[1], _unquoted(found[2].strip())


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != value[-1] or value[0] not in "\"'":
        return value
    return _ESCAPED.sub(r"\1", value[1:-1]) if value[0] == '"' else value[1:-1]
