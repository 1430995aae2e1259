"""Normalises telephone numbers: E.164 if possible, else as the phone takes them, never another subscriber's number."""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import phonenumbers

E164 = re.compile(r"\+[1-9][0-9]{1,14}")
# Android's own test, which cht-gateway applies before it sends; at least one digit, or there is nobody to send to.
DIALABLE = re.compile(r"\+?(?=.*[0-9])[0-9.-]+")
MAX_DIGITS = 15
MAX_LENGTH = 100

SPREADSHEET = "Looks like a number from a spreadsheet: format its column as text."
SEVERAL = "More than one number: give one."
LETTERS = (
    "Letters are not dialled: digits only, no extension, with a + before an international one."
)
NOT_A_NUMBER = "Not a number a phone can send to: digits, with a + before an international one."
TOO_LONG = f"Not one number: has more than {MAX_DIGITS} digits."
NO_COUNTRY = "No country code begins with 0: leave the + or the 0 away."
REVERSED = "Has a character that shows it reversed (U+202E): type it again."
UNCLEAR_ZERO = "Cannot tell whether the (0) is dialled: leave it away."
UNCLEAR_COUNTRY = "May be a national or an international number: write it with +."

# Invisible marks that come along when a number is copied; not U+202E, which makes people read another number.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202d\u2060\u2066-\u2069\ufeff]")
_HYPHENS = re.compile("[\u2010-\u2015\u2212]")
_SHAPE = re.compile(r"\(?\+?[ (]*[0-9][0-9 ()./-]*")
_DECIMAL = re.compile(r"[0-9][0-9.,' ]*[.,][0-9]{0,3}|[0-9]+([.,][0-9]+)?[eE][ +-]?[0-9]+")
_LINE_BREAKS = r"\t\n\r\f\v\x1c-\x1f\x85\u2028\u2029"
_BLANKS = re.compile(rf"[^\S{_LINE_BREAKS}]+")
_AFTER_ONE = re.compile(rf"[0-9].*[;,|&+{_LINE_BREAKS}]")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+")
_ROUNDED = re.compile(r"[1-9][0-9]{4,}0{6}")
# Area codes are short, and what follows them is not: otherwise the slash stands between two numbers.
_SLASHED = re.compile(r"(\+[0-9]{1,8}|00[0-9]{1,9}|0[0-9]{1,5}|[1-9][0-9]{2})/[1-9][0-9]{4,}")
_TRUNK_ZERO = re.compile(r"\( *0 *\)")
# Shorter ones may be short codes, or numbers of one town that lack their area code.
_LONG_ENOUGH_WITHOUT_TRUNK_PREFIX = 9
_LONGEST_SHORT_CODE = 6
_MOBILE = (
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
)


class _Reading(NamedTuple):
    """A number as it is kept, and why nobody should send to it (`None` when a phone can)."""

    number: str
    fault: str | None = None


class _Unreadable(ValueError):
    """A text in which a person would not read one number for sure; the message says why."""


def normalise(number: str, region: str | None) -> str:
    """The number in E.164 where that is certain, otherwise only freed of blanks, hyphens, dots and brackets.

    `region` is the country (`DE`) that numbers without a country code are dialled in, or `None`. Short codes stay as
    they are. Whatever is no number, or not surely one, stays to the letter: `refusal` says why.
    """
    return _read(number, region).number


def refusal(number: str, region: str | None) -> str | None:
    """Why nothing can be sent to this number, in a short sentence; `None` when a phone will dial `normalise` of it."""
    return _read(number, region).fault


def normalise_sender(sender: str, region: str | None) -> str:
    """The same for who sent a message; a name such as `MPESA` or an empty sender stays to the letter."""
    normalised = normalise(sender, region)
    return normalised if is_e164(normalised) else sender


def from_query(text: str) -> str:
    """The number or name in a URL's query, where a `+` that was not written `%2B` arrives as a blank.

    So a blank before a number was a `+`: whoever searches for `+1202…` gets that number or an error, never another.
    """
    bare = text.strip()
    first = _written(bare).lstrip(" ()./-")[:1]
    return f"+{bare}" if text[:1].isspace() and first.isdecimal() else bare


def is_dialable(number: str) -> bool:
    """Whether a phone with cht-gateway will try to send to it, instead of failing `destination.invalid`.

    Codes such as `*144#` are for the dialler, not for SMS, and the app refuses them.
    """
    return DIALABLE.fullmatch(number) is not None


def is_e164(number: str) -> bool:
    """Whether it is `+`, a country code and a number, of a length that country has."""
    if not E164.fullmatch(number):
        return False
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return False
    return _is_possible(parsed) and _e164(parsed) == number


@lru_cache(maxsize=4096)
def _read(number: str, region: str | None) -> _Reading:
    try:
        return _Reading(_normalised(number, region))
    except _Unreadable as error:
        return _Reading(number, str(error))


def _normalised(number: str, region: str | None) -> str:
    if len(number) > MAX_LENGTH:
        raise _Unreadable(NOT_A_NUMBER)
    written = _written(number)
    _check_shape(written)
    digits = re.sub("[ ()/.-]", "", written)
    if digits.startswith("+0"):
        raise _Unreadable(NO_COUNTRY)
    if len(re.sub(r"^\+|^0+(11)?", "", digits)) > MAX_DIGITS:
        raise _Unreadable(TOO_LONG)
    if _has_trunk_zero(written):
        return _without_unclear_zero(digits, _TRUNK_ZERO.sub("", written))
    if _ROUNDED.fullmatch(digits):
        raise _Unreadable(SPREADSHEET)
    found = _international(digits) or _national(digits, region)
    if found is None and _THOUSANDS.fullmatch(written):
        raise _Unreadable(SPREADSHEET)
    return found or digits


def _written(number: str) -> str:
    """The number as a person reads it: ASCII digits, plain blanks and hyphens, without invisible marks.

    The apostrophe by which spreadsheets mark a text is not part of it.
    """
    visible = _INVISIBLE.sub("", number).strip()
    if not visible.isascii():
        visible = "".join(_ascii_digit(character) for character in visible)
        visible = _HYPHENS.sub("-", visible)
    return _BLANKS.sub(" ", visible.removeprefix("'").strip())


def _ascii_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    return {"\uff0b": "+", "\u2019": "'"}.get(character, character)


def _check_shape(written: str) -> None:
    """Raise where a person would not read one number in it, whatever the digits are."""
    if not _SHAPE.fullmatch(written):
        raise _Unreadable(_fault_of_shape(written))
    if ". " in written or _ends_like_a_decimal(re.sub("[ ()-]", "", written)):
        raise _Unreadable(SPREADSHEET)
    if not _has_brackets_of_a_number(written):
        raise _Unreadable(NOT_A_NUMBER)
    if "/" in written and not _is_slash_after_area_code(written):
        raise _Unreadable(SEVERAL)


def _fault_of_shape(written: str) -> str:
    bare = re.sub("^[+-] *", "", written)
    if "\u202e" in written:
        return REVERSED
    if _DECIMAL.fullmatch(bare) or re.fullmatch("-[0-9. -]*", written):
        return SPREADSHEET
    if _AFTER_ONE.search(written):
        return SEVERAL
    return LETTERS if re.search("[0-9].*[a-zA-Z]|[a-zA-Z].*[0-9]", written) else NOT_A_NUMBER


def _ends_like_a_decimal(packed: str) -> bool:
    """Whether its last dot is a decimal point: `+49.30.2312500` and `+1.2025550112` are numbers, `2312500.0` is not."""
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
    """Whether each bracket closes, and none stands at the end, where it would hold a remark."""
    depth = 0
    for character in written:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth not in (0, 1):
            return False
    return depth == 0 and not re.search(r"[0-9].*\([^)]*\)$", written)


def _is_slash_after_area_code(written: str) -> bool:
    packed = re.sub("[ ().-]", "", _TRUNK_ZERO.sub("", written))
    before, _, last = packed.rpartition("/")
    return _SLASHED.fullmatch(f"{before.replace('/', '')}/{last}") is not None


def _has_trunk_zero(written: str) -> bool:
    """Whether a `(0)` follows the country code; a number that begins with it is a national one with its zero."""
    zero = _TRUNK_ZERO.search(written)
    before = re.sub("[^+0-9]", "", written[: zero.start()]) if zero else ""
    if before and not re.fullmatch(r"(\+|00)[0-9]{1,3}", before):
        raise _Unreadable(UNCLEAR_ZERO)
    return bool(before)


def _without_unclear_zero(digits: str, without_zero: str) -> str:
    """E.164 of a number written as `+49 (0)30 …`: in Italy the zero is dialled, in most countries it is not."""
    spoken = {_international(digits), _international(re.sub("[ ()/.-]", "", without_zero))}
    valid = {one for one in spoken if one and phonenumbers.is_valid_number(phonenumbers.parse(one))}
    if len(valid) != 1:
        raise _Unreadable(UNCLEAR_ZERO)
    return valid.pop()


def _international(digits: str) -> str | None:
    """E.164 of a number with `+`, or with `00` where that makes a number some country could have.

    `00` is tried before the region's own rules: with region KE the library reads `00254…` as a Kenyan number.
    """
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if not digits.startswith("+"):
        return None
    try:
        parsed = phonenumbers.parse(digits)
    except phonenumbers.NumberParseException:
        return None
    found = _e164(parsed)
    # The library drops what it takes for a trunk prefix; where that leaves no number in use, it was none.
    is_sure = _is_possible(parsed) if found == digits else phonenumbers.is_valid_number(parsed)
    return found if is_sure else None


def _national(digits: str, region: str | None) -> str | None:
    """E.164 of a number dialled inside the region, if it is surely one.

    Of the right length is not enough: in Germany a five-digit short code has the length of a number.
    """
    if region is None or digits.startswith("+"):
        return None
    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_valid_short_number_for_region(parsed, region):
        return None
    if not phonenumbers.is_valid_number(parsed) or _may_be_short(digits, parsed):
        return None
    if not _has_trunk_prefix(digits, parsed) and _is_of_another_country(digits, parsed):
        raise _Unreadable(UNCLEAR_COUNTRY)
    return _e164(parsed)


def _may_be_short(digits: str, parsed: phonenumbers.PhoneNumber) -> bool:
    """Whether it may be a short code or lack its area code; the library does not know all short codes.

    In Finland each second number of five digits is one of a town, in Germany most of six: without their zero both.
    """
    if _has_trunk_prefix(digits, parsed):
        is_mobile = phonenumbers.number_type(parsed) in _MOBILE
        return len(digits) <= _LONGEST_SHORT_CODE and digits[0] != "0" and not is_mobile
    return len(digits) < _LONG_ENOUGH_WITHOUT_TRUNK_PREFIX


def _has_trunk_prefix(digits: str, parsed: phonenumbers.PhoneNumber) -> bool:
    """Whether nothing is missing of how the number is dialled inside its country: `0151…` in Germany."""
    national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    # The plan of +1 writes its numbers without the 1 that may be dialled before them.
    return digits.endswith(re.sub("[^0-9]", "", national))


def _is_of_another_country(digits: str, parsed: phonenumbers.PhoneNumber) -> bool:
    """Whether it is a number of another country when a `+` is put before it.

    `15123456789` may have been `015123456789` or `+15123456789` before a spreadsheet took it for a number.
    """
    other = _international(f"+{digits}")
    return (
        other is not None
        and other != _e164(parsed)
        and phonenumbers.is_valid_number(phonenumbers.parse(other))
    )


def _is_possible(parsed: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return reason == phonenumbers.ValidationResult.IS_POSSIBLE


def _e164(parsed: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
