"""Normalises telephone numbers: E.164 if possible, else as the phone takes them, never another subscriber's number."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..lazy_imports import lazy
from . import number_shapes
from .number_shapes import UnreadableNumber

if TYPE_CHECKING:
    import phonenumbers
else:
    phonenumbers = lazy("phonenumbers")

E164 = re.compile(r"\+[1-9][0-9]{1,14}")
# Android's own test, which cht-gateway applies before it sends; at least one digit, or there is nobody to send to.
DIALABLE = re.compile(r"\+?(?=.*[0-9])[0-9.-]+")
MAX_DIGITS = 15
MAX_LENGTH = 100

TOO_LONG = f"Not one number: has more than {MAX_DIGITS} digits."
NO_COUNTRY = "No country code begins with 0: leave the + or the 0 away."
UNCLEAR_ZERO = "Cannot tell whether the (0) is dialled: leave it away."
UNCLEAR_COUNTRY = "May be a national or an international number: write it with +."

_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+")
_ROUNDED = re.compile(r"[1-9][0-9]{4,}0{6}")
# Shorter ones may be short codes, or numbers of one town that lack their area code.
_LONG_ENOUGH_WITHOUT_TRUNK_PREFIX = 9
_LONGEST_SHORT_CODE = 6


class _Reading(NamedTuple):
    """A number as it is stored, and why nothing can be sent to it (`None` if a phone can)."""

    number: str
    fault: str | None = None


def normalise(number: str, region: str | None) -> str:
    """Return the number in E.164 where that is certain, otherwise only freed of blanks, hyphens, dots and brackets.

    `region` is the country (`DE`) that numbers without a country code are dialled in, or `None`. Short codes stay as
    they are. Whatever is no number, or not surely one, stays to the letter: `refusal` says why.
    """
    return _read(number, region).number


def refusal(number: str, region: str | None) -> str | None:
    """Return in a short text why nothing can be sent to this number; `None` if a phone will dial `normalise` of it."""
    return _read(number, region).fault


def normalise_sender(sender: str, region: str | None) -> str:
    """Return who sent a message in the same way; a name such as `MPESA` or an empty sender stays to the letter."""
    normalised = normalise(sender, region)
    return normalised if is_e164(normalised) else sender


def without_plus(number: str) -> str:
    """Return the number for comparisons: some networks and clients omit the `+` of international numbers."""
    return number.removeprefix("+")


def is_subscriber(number: str) -> bool:
    """Return whether a normalised number is a person's: no name, and no code of a service (six digits at most)."""
    return is_dialable(number) and len(re.sub("[^0-9]", "", number)) > _LONGEST_SHORT_CODE


def from_query(text: str) -> str:
    """Return the number or name in a URL's query, where a `+` that was not written `%2B` arrives as a blank.

    So a blank before a number was a `+`: whoever searches for `+1202…` gets that number or an error, never another.
    """
    bare = text.strip()
    first = number_shapes.as_written(bare).lstrip(" ()./-")[:1]
    return f"+{bare}" if text[:1].isspace() and first.isdecimal() else bare


def is_dialable(number: str) -> bool:
    """Return whether a phone with cht-gateway will try to send to it, instead of failing `destination.invalid`.

    Codes such as `*144#` are for the dialler, not for SMS, and the app refuses them.
    """
    return DIALABLE.fullmatch(number) is not None


def is_e164(number: str) -> bool:
    """Return whether it is `+`, a country code and a number, of a length that country has."""
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
    except UnreadableNumber as error:
        return _Reading(number, str(error))


def _normalised(number: str, region: str | None) -> str:
    if len(number) > MAX_LENGTH:
        raise UnreadableNumber(number_shapes.NOT_A_NUMBER)
    written = number_shapes.as_written(number)
    number_shapes.check_shape(written)
    digits = re.sub("[ ()/.-]", "", written)
    if digits.startswith("+0"):
        raise UnreadableNumber(NO_COUNTRY)
    if len(re.sub(r"^\+|^0+(11)?", "", digits)) > MAX_DIGITS:
        raise UnreadableNumber(TOO_LONG)
    if _has_trunk_zero(written):
        return _without_unclear_zero(digits, number_shapes.TRUNK_ZERO.sub("", written))
    if _ROUNDED.fullmatch(digits):
        raise UnreadableNumber(number_shapes.SPREADSHEET)
    found = _international(digits) or _national(digits, region)
    if found is None and _THOUSANDS.fullmatch(written):
        raise UnreadableNumber(number_shapes.SPREADSHEET)
    return found or digits


def _has_trunk_zero(written: str) -> bool:
    """Return whether a `(0)` follows the country code; a number that begins with it is a national one with its zero."""
    zero = number_shapes.TRUNK_ZERO.search(written)
    before = re.sub("[^+0-9]", "", written[: zero.start()]) if zero else ""
    if before and not re.fullmatch(r"(\+|00)[0-9]{1,3}", before):
        raise UnreadableNumber(UNCLEAR_ZERO)
    return bool(before)


def _without_unclear_zero(digits: str, without_zero: str) -> str:
    """Return E.164 of a number written as `+49 (0)30 …`: in Italy the zero is dialled, in most countries it is not."""
    spoken = {_international(digits), _international(re.sub("[ ()/.-]", "", without_zero))}
    valid = {one for one in spoken if one and phonenumbers.is_valid_number(phonenumbers.parse(one))}
    if len(valid) != 1:
        raise UnreadableNumber(UNCLEAR_ZERO)
    return valid.pop()


def _international(digits: str) -> str | None:
    """Return E.164 of a number with `+`, or with `00` where that makes a number some country could have.

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
    """Return E.164 of a number dialled inside the region, if it is surely one.

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
        raise UnreadableNumber(UNCLEAR_COUNTRY)
    return _e164(parsed)


def _may_be_short(digits: str, parsed: "phonenumbers.PhoneNumber") -> bool:
    """Return whether it may be a short code or lack its area code; the library does not know all short codes.

    In Finland each second number of five digits is one of a town, in Germany most of six: without their zero both.
    """
    if _has_trunk_prefix(digits, parsed):
        kinds = phonenumbers.PhoneNumberType
        is_mobile = phonenumbers.number_type(parsed) in (kinds.MOBILE, kinds.FIXED_LINE_OR_MOBILE)
        return len(digits) <= _LONGEST_SHORT_CODE and digits[0] != "0" and not is_mobile
    return len(digits) < _LONG_ENOUGH_WITHOUT_TRUNK_PREFIX


def _has_trunk_prefix(digits: str, parsed: "phonenumbers.PhoneNumber") -> bool:
    """Return whether nothing is missing of how the number is dialled inside its country: `0151…` in Germany."""
    national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    # The plan of +1 writes its numbers without the 1 that may be dialled before them.
    return digits.endswith(re.sub("[^0-9]", "", national))


def _is_of_another_country(digits: str, parsed: "phonenumbers.PhoneNumber") -> bool:
    """Return whether it is a number of another country when a `+` is put before it.

    `15123456789` may have been `015123456789` or `+15123456789` before a spreadsheet took it for a number.
    """
    other = _international(f"+{digits}")
    return (
        other is not None
        and other != _e164(parsed)
        and phonenumbers.is_valid_number(phonenumbers.parse(other))
    )


def _is_possible(parsed: "phonenumbers.PhoneNumber") -> bool:
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return reason == phonenumbers.ValidationResult.IS_POSSIBLE


def _e164(parsed: "phonenumbers.PhoneNumber") -> str:
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
