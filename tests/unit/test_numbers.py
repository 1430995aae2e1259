"""Numbers: E.164 where they can be, never damaged where they cannot."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import shortnumberinfo

from smsgw.sms.numbers import is_dialable, is_e164, normalise, normalise_sender


@pytest.mark.parametrize(
    ("number", "region", "expected"),
    [
        ("+49 151 12345678", None, "+4915112345678"),
        ("+49 (0) 151 12345678", None, "+4915112345678"),
        ("+49\u00a0151\u00a012345678", None, "+4915112345678"),
        ("\u202a+49 151 12345678\u202c", None, "+4915112345678"),
        ("+٤٩١٥١١٢٣٤٥٦٧٨", None, "+4915112345678"),
        ("+1 555 123 4567", None, "+15551234567"),
        ("+39 06 1234567", None, "+39061234567"),
        ("0151/12345678", "DE", "+4915112345678"),
        ("0151–1234.5678", "DE", "+4915112345678"),
        ("0712 345678", "KE", "+254712345678"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("011 44 7911 123456", "US", "+447911123456"),
    ],
)
def test_a_number_becomes_e164(number, region, expected):
    assert normalise(number, region) == expected


@pytest.mark.parametrize("region", [None, "KE", "DE", "US", "JP"])
def test_two_leading_zeros_are_a_plus(region):
    assert normalise("00254712345678", region) == "+254712345678"


@pytest.mark.parametrize("number", ["00", "0012", "000000", "0099912345678"])
@pytest.mark.parametrize("region", [None, "KE"])
def test_two_leading_zeros_stay_where_no_country_has_that_number(number, region):
    assert normalise(number, region) == number


@pytest.mark.parametrize("region", [None, "DE", "KE", "US"])
@pytest.mark.parametrize("code", ["144", "110", "112", "22922", "116117", "20880", "6", "0", ""])
def test_a_short_code_stays(code, region):
    assert normalise(code, region) == code


@pytest.mark.parametrize("code", ["*144#", "*100*1#", "#31#", "*#06#"])
def test_a_service_code_stays_and_is_not_dialable(code):
    assert normalise(code, "DE") == code
    assert not is_dialable(code)


def test_no_countrys_short_code_becomes_a_number():
    damaged = {
        (region, code): normalise(code, region)
        for region in phonenumbers.SUPPORTED_SHORT_REGIONS
        if (code := shortnumberinfo._example_short_number(region))
        and normalise(code, region) != code
    }
    assert damaged == {}


def test_every_countrys_own_mobile_number_becomes_e164():
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is None or len(str(example.national_number)) < 7:
            continue
        local = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
        whole = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        assert normalise(local, region) == e164
        assert normalise(whole, None) == e164


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("0151 12345678", "015112345678"),
        ("(020) 123", "020123"),
        ("020\u00a0123", "020123"),
        ("+1 23", "+123"),
        ("1.234", "1.234"),
        ("++1", "++1"),
        ("+49 151 12345678 ext. 5", "+4915112345678ext.5"),
    ],
)
def test_what_cannot_be_e164_is_only_cleaned(number, expected):
    assert normalise(number, None) == expected


@pytest.mark.parametrize(
    "sender", ["MPESA", "144", "", "My Bank", "T-Mobile", "BANK 015112345678", "*100#", "579790"]
)
@pytest.mark.parametrize("region", [None, "DE", "KE"])
def test_a_sender_that_is_no_number_stays_to_the_letter(sender, region):
    assert normalise_sender(sender, region) == sender


def test_a_sender_that_is_a_number_becomes_e164():
    assert normalise_sender("+49 151 12345678", None) == "+4915112345678"
    assert normalise_sender("0151 12345678", "DE") == "+4915112345678"


@pytest.mark.parametrize(
    "number", ["144", "0044123", "+1.234", "6", "+4915112345678", "030-123", "-1"]
)
def test_the_phone_dials_it(number):
    assert is_dialable(number)


@pytest.mark.parametrize(
    "number",
    ["MPESA", "*144#", "(020)123", "++1", "", "+", ".", "020 123", "020\u00a0123", "1\n", "١٤٤"],
)
def test_the_phone_refuses_it(number):
    assert not is_dialable(number)


@pytest.mark.parametrize("number", ["+4915112345678", "+15551234567", "+254712345678"])
def test_it_is_e164(number):
    assert is_e164(number)


@pytest.mark.parametrize(
    "number", ["4915112345678", "+49 151 12345678", "+144", "+0123456789", "+999123456789", "", "A"]
)
def test_it_is_not_e164(number):
    assert not is_e164(number)


@given(st.text(), st.sampled_from([None, "DE", "KE", "US"]))
def test_nothing_is_refused_and_a_second_time_changes_nothing(text, region):
    once = normalise(text, region)
    assert normalise(once, region) == once
    assert normalise_sender(text, region) in (text, once)
