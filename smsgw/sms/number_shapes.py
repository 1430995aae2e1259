"""Reads a telephone number as a person would, and refuses texts in which nobody reads one number for sure."""

import re
import unicodedata

SPREADSHEET = "Looks like a number from a spreadsheet: format its column as text."
SEVERAL = "More than one number: give one."
LETTERS = (
    "Letters are not dialled: digits only, no extension, with a + before an international one."
)
NOT_A_NUMBER = "Not a number a phone can send to: digits, with a + before an international one."
REVERSED = "Has a character that shows it reversed (U+202E): type it again."

# Invisible marks that come along when a number is copied; not U+202E, which makes people read another number.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202d\u2060\u2066-\u2069\ufeff]")
_HYPHENS = re.compile("[\u2010-\u2015\u2212]")
_SHAPE = re.compile(r"\(?\+?[ (]*[0-9][0-9 ()./-]*")
_DECIMAL = re.compile(r"[0-9][0-9.,' ]*[.,][0-9]{0,3}|[0-9]+([.,][0-9]+)?[eE][ +-]?[0-9]+")
_LINE_BREAKS = r"\t\n\r\f\v\x1c-\x1f\x85\u2028\u2029"
_BLANKS = re.compile(rf"[^\S{_LINE_BREAKS}]+")
_AFTER_ONE = re.compile(rf"[0-9].*[;,|&+{_LINE_BREAKS}]")
# Area codes are short, and what follows them is not: otherwise the slash stands between two numbers.
_SLASHED = re.compile(r"(\+[0-9]{1,8}|00[0-9]{1,9}|0[0-9]{1,5}|[1-9][0-9]{2})/[1-9][0-9]{4,}")
TRUNK_ZERO = re.compile(r"\( *0 *\)")


class UnreadableNumber(ValueError):
    """A text in which a person would not read one number for sure; the message says why."""


def as_written(number: str) -> str:
    """Return the number as a person reads it: ASCII digits, plain blanks and hyphens, without invisible marks.

    The apostrophe by which spreadsheets mark a text is not part of it.
    """
    visible = _INVISIBLE.sub("", number).strip()
    if not visible.isascii():
        visible = "".join(_ascii_digit(character) for character in visible)
        visible = _HYPHENS.sub("-", visible)
    return _BLANKS.sub(" ", visible.removeprefix("'").strip())


def is_decimal(number: str) -> bool:
    """Return whether it is a number with decimals, as spreadsheets write it, and not a telephone number."""
    bare = re.sub("^[+-] *", "", as_written(number))
    return _DECIMAL.fullmatch(bare) is not None


def check_shape(written: str) -> None:
    """Raise where a person would not read one number in it, whatever the digits are."""
    if not _SHAPE.fullmatch(written):
        raise UnreadableNumber(_fault_of_shape(written))
    if ". " in written or _ends_like_a_decimal(re.sub("[ ()-]", "", written)):
        raise UnreadableNumber(SPREADSHEET)
    if not _has_brackets_of_a_number(written):
        raise UnreadableNumber(NOT_A_NUMBER)
    if "/" in written and not _is_slash_after_area_code(written):
        raise UnreadableNumber(SEVERAL)


def _ascii_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    return {"\uff0b": "+", "\u2019": "'"}.get(character, character)


def _fault_of_shape(written: str) -> str:
    if "\u202e" in written:
        return REVERSED
    if is_decimal(written) or re.fullmatch("-[0-9. -]*", written):
        return SPREADSHEET
    if _AFTER_ONE.search(written):
        return SEVERAL
    return LETTERS if re.search("[0-9].*[a-zA-Z]|[a-zA-Z].*[0-9]", written) else NOT_A_NUMBER


def _ends_like_a_decimal(packed: str) -> bool:
    """Return whether its last dot is a decimal point, as in `2312500.0`, not in `+49.30.2312500` or `+1.2025550112`."""
    first, *groups = packed.rsplit("/", 1)[-1].split(".")
    if len(groups) > 1:
        before, last = groups[-2:]
        return (
            max(map(len, groups[:-1])) > 5 or len(last) < 2 or (len(last) == 2 and len(before) > 3)
        )
    if groups:
        is_start = first.startswith(("+", "0")) or len(first) > 2
        return not is_start or len(first) > 9 or len(groups[0]) < 4 or not groups[0].strip("0")
    return False


def _has_brackets_of_a_number(written: str) -> bool:
    """Return whether each bracket closes, and none is at the end, where it would be a remark."""
    depth = 0
    for character in written:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth not in (0, 1):
            return False
    return depth == 0 and not re.search(r"[0-9].*\([^)]*\)$", written)


def _is_slash_after_area_code(written: str) -> bool:
    packed = re.sub("[ ().-]", "", TRUNK_ZERO.sub("", written))
    before, _, last = packed.rpartition("/")
    return _SLASHED.fullmatch(f"{before.replace('/', '')}/{last}") is not None
