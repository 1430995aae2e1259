"""Makes texts from phones storable."""

from typing import Any


def storable(text: str) -> str:
    """Return the text with what no database keeps (NUL, half a surrogate pair) replaced by U+FFFD."""
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def text_of(value: Any) -> str | None:
    """Return the text of a JSON value: `""` for null, the digits of a whole number, `None` for anything else."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
