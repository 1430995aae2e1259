"""Sets the words by which people stop and restart the messages of a CRM."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import Invalid
from ...sms import opt_out_words
from ...sms.opt_out_words import DEFAULT_START_WORDS, DEFAULT_STOP_WORDS
from ...store.models import Crm

MOST_WORDS = 200
FIELDS = ("stop_words", "start_words")
Words = Sequence[str] | None


def change(crm: Crm, changes: Mapping[str, Any]) -> None:
    """Set `stop_words` and `start_words`, as far as they are given; `None` for the default, `[]` for none.

    Raises `Invalid` for a word without a letter or digit, and for one that would be on both lists.
    """
    given = [name for name in FIELDS if name in changes]
    if not given:
        return
    stop_words: Words = changes.get("stop_words", crm.stop_words)
    start_words: Words = changes.get("start_words", crm.start_words)
    folded = {
        "stop_words": _folded("stop_words", _effective(stop_words, DEFAULT_STOP_WORDS)),
        "start_words": _folded("start_words", _effective(start_words, DEFAULT_START_WORDS)),
    }
    both = folded["stop_words"] & folded["start_words"]
    if both:
        raise Invalid.field(given[0], f"{min(both)!r} would be both a stop word and a start word.")
    crm.stop_words = None if stop_words is None else list(stop_words)
    crm.start_words = None if start_words is None else list(start_words)


def stop_words_of(crm: Crm) -> list[str]:
    """Return the words that put a number on the CRM's list."""
    return list(_effective(crm.stop_words, DEFAULT_STOP_WORDS))


def start_words_of(crm: Crm) -> list[str]:
    """Return the words that take a number off the CRM's list."""
    return list(_effective(crm.start_words, DEFAULT_START_WORDS))


def _effective(words: Words, defaults: Sequence[str]) -> Sequence[str]:
    return defaults if words is None else words


def _folded(field: str, words: Sequence[str]) -> set[str]:
    found = {opt_out_words.folded(word): word for word in words}
    if "" in found:
        raise Invalid.field(field, f"{found['']!r} has neither a letter nor a digit.")
    return set(found)
