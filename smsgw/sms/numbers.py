"""Telephone numbers: E.164 where they can be, and otherwise as the phone will take them."""

import re
import unicodedata
from functools import lru_cache

import phonenumbers

# What people put between digits, and the invisible marks that come along when a number is copied.
SEPARATORS = re.compile(
    r"[\s\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff()/\-\u2010-\u2015\u2212]"
)
PLAIN = re.compile(r"\+?[0-9.]+")
E164 = re.compile(r"\+[1-9][0-9]{1,14}")
# Android's own test, which cht-gateway applies before it sends; at least one digit, or there is nobody to send to.
DIALABLE = re.compile(r"\+?(?=.*[0-9])[0-9.-]+")


@lru_cache(maxsize=4096)
def normalise(number: str, region: str | None) -> str:
    """The number in E.164 where that is certain, otherwise only freed of blanks, hyphens and brackets.

    `region` is the country (`DE`) that numbers without a country code are dialled in, or `None`. Short codes,
    service numbers and whatever is no number at all stay as they are: nothing is refused here.
    """
    cleaned = _cleaned(number)
    if not PLAIN.fullmatch(cleaned):
        return cleaned
    return _international(cleaned) or _national(cleaned, region) or cleaned


def normalise_sender(sender: str, region: str | None) -> str:
    """The same for who sent a message; a name such as `MPESA` or an empty sender stays to the letter."""
    normalised = normalise(sender, region)
    return normalised if is_e164(normalised) else sender


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


def _cleaned(number: str) -> str:
    number = SEPARATORS.sub("", number)
    if number.isascii():
        return number
    return "".join(_ascii_digit(character) for character in number)


def _ascii_digit(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    return "+" if character == "\uff0b" else character


def _international(cleaned: str) -> str | None:
    """E.164 of a number with `+`, or with `00` where that makes a number some country could have.

    `00` is tried before the region's own rules: with region KE the library reads `00254…` as a Kenyan number.
    """
    if cleaned.startswith("00"):
        cleaned = f"+{cleaned[2:]}"
    if not cleaned.startswith("+"):
        return None
    try:
        parsed = phonenumbers.parse(cleaned)
    except phonenumbers.NumberParseException:
        return None
    return _e164(parsed) if _is_possible(parsed) else None


def _national(cleaned: str, region: str | None) -> str | None:
    """E.164 of a number dialled inside the region, if it is surely one.

    Of the right length is not enough: in Germany a five-digit short code has the length of a number.
    """
    if region is None or cleaned.startswith("+"):
        return None
    try:
        parsed = phonenumbers.parse(cleaned, region)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_valid_short_number_for_region(parsed, region):
        return None
    return _e164(parsed) if phonenumbers.is_valid_number(parsed) else None


def _is_possible(parsed: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(parsed)
    return reason == phonenumbers.ValidationResult.IS_POSSIBLE


def _e164(parsed: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
