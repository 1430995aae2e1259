"""Hashes who gets which text, so that one narrow index finds both the texts of a number and the repeats of one text.

The upper 32 bits are of the CRM and the number, in whichever spelling; the lower 31 of the text.
"""

import hashlib
from typing import NamedTuple

_TEXT_BITS = 31


class Range(NamedTuple):
    """The hashes of all texts to one number, both ends included."""

    first: int
    last: int


def of_text(crm_id: str, number: str, content: str) -> int:
    """Return an integer of 64 bits, signed, that is equal where this CRM sends the same text to the same number."""
    return _of_number(crm_id, number) << _TEXT_BITS | _hash(content) >> 1


def of_number(crm_id: str, number: str) -> Range:
    """Return the range of the hashes of all texts of this CRM to this number; another number's may lie in it too."""
    first = _of_number(crm_id, number) << _TEXT_BITS
    return Range(first, first | (1 << _TEXT_BITS) - 1)


def bucket(crm_id: str, number: str, count: int) -> int:
    """Return which of so many buckets the number falls into."""
    return _of_number(crm_id, number) % count


def _of_number(crm_id: str, number: str) -> int:
    return _hash(f"{crm_id}\n{number.removeprefix('+')}")


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest)
