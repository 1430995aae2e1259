"""Makes texts as phones send them fit to be stored."""

from typing import Any


def storable(text: str) -> str:
    """The text with what no database keeps (NUL, half a surrogate pair) replaced by U+FFFD."""
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def text_of(value: Any) -> str | None:
    """The text of a JSON value: nothing is an empty one, a whole number its digits; `None` for what is no text."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
