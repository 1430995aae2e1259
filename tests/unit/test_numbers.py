"""Numbers: E.164 where they can be, never damaged where they cannot."""

import re

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import shortnumberinfo

from smsgw.sms.numbers import is_dialable, is_e164, normalise, normalise_sender, refusal


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
        ("030.2312500", "0302312500"),
        ("22922", "22922"),
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


UNREADABLE = {
    "spreadsheet": [
        "+49302312500.0",
        "+49302312500.00",
        "+49302312500.000",
        "+49302312500,0",
        "+49302312500.",
        "+49302312500.5",
        "+49302312500.1234",
        "+49.30.2312500.0",
        "+49.30.2312500.00",
        "49302312500.0",
        "0302312500.0",
        "+49 30 2312500.0",
        "+49302312500\u200b.\u200b0",
        "+49302312500 .0",
        "4.93023125E+11",
        "4,93E+11",
        "4.93E11",
        "4.93e+11",
        "493E9",
        "+4.93023125E+11",
        "49,302,312,500",
        "49,302,312,500.00",
        "49 302 312 500,00",
        "49'302'312'500.0",
        "1.234",
        "22922.0",
        "0.0",
        "-49302312500",
        "493023000000",
        "1.2025550112",
        "2. 0302312500",
    ],
    "more than one number": [
        "+49302312500;+49302312501",
        "+49302312500; +49302312501",
        "0302312500,0302312501",
        "+49302312500/+49302312501",
        "+49302312500 / 2312501",
        "0302312500/0302312501",
        "030 2312500/501",
        "22922/22923",
        "+49302312500|+49302312501",
        "+49302312500 & +49302312501",
        "+49302312500+49302312501",
        "+49302312500;ext=12",
        "+49302312500\n+49302312501",
        "0302312500\t0302312501",
        "22922\u202822923",
    ],
    "15 digits": ["0302312500 0302312501", "49302312500123450000", "+4930231250012345"],
    "letters": [
        "+49302312500 ext 12",
        "+49302312500 ext. 12",
        "+49302312500x12",
        "+49302312500p12",
        "1-800-FLOWERS",
        "tel:+49302312500",
        "sms:+49302312500",
        "+4930231250O",
    ],
    "(0)": ["+44 (0)7 12", "+1 (0)555 01", "0049 (0)1", "+49 30 (0)2312500", "030 (0)2312500"],
    "country code": ["+0302312500", "+0049302312500"],
    "u+202e": ["\u202e+49302312500", "\u202e00521320394+\u202c"],
    "not a number": [
        "",
        " ",
        "+",
        "++49302312500",
        "MPESA",
        "*144#",
        "#REF!",
        "=+49302312500",
        "+49302312500:1",
        "+493023125\u066b0",
        "+49302312500\u00b70",
        "\u00b2\u00b2\u00b2\u00b2\u00b2",
        "+49302312500 (2)",
        "1) 0302312500",
        "+49302312500)",
    ],
}


@pytest.mark.parametrize("region", [None, "DE", "US", "KE"])
@pytest.mark.parametrize(
    ("number", "words"), [(one, words) for words, some in UNREADABLE.items() for one in some]
)
def test_what_nobody_reads_as_one_number_is_refused_and_stays_to_the_letter(number, words, region):
    assert normalise(number, region) == normalise_sender(number, region) == number
    fault = refusal(number, region)
    assert fault
    assert len(fault) < 100
    assert words in fault.lower()


@pytest.mark.parametrize(
    ("number", "region", "expected"),
    [
        ("+49.30.2312500", None, "+49302312500"),
        ("+49.302312500", None, "+49302312500"),
        ("+1.2025550112", None, "+12025550112"),
        ("+1.202.555.0000", None, "+12025550000"),
        ("+33 6.12.34.56.78", None, "+33612345678"),
        ("+33.6.12.34.56.00", None, "+33612345600"),
        ("+91.74104.10123", None, "+917410410123"),
        ("+55.11.96123.4567", None, "+5511961234567"),
        ("+261.32.12.345.67", None, "+261321234567"),
        ("912.345.678", "ES", "+34912345678"),
        ("'+49302312500", None, "+49302312500"),
        ("\u2019+49302312500", None, "+49302312500"),
        ("+49\u00ad30\u200b2312500", None, "+49302312500"),
        ("\u202d+49 30 2312500\u202c", None, "+49302312500"),
        ("\u2068+49302312500\u2069", None, "+49302312500"),
        ("+49\u202f30\u20032312500\r\n", None, "+49302312500"),
        (
            "\uff0b\uff14\uff19\uff13\uff10\uff12\uff13\uff11\uff12\uff15\uff10\uff10",
            None,
            "+49302312500",
        ),
        ("+49 (0)30 2312500", None, "+49302312500"),
        ("0049 (0) 30/2312500", None, "+49302312500"),
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("+36 (0)1 234 5678", None, "+3612345678"),
        ("+39 (0)6 69812345", None, "+390669812345"),
        ("(0)30 2312500", "DE", "+49302312500"),
        ("(+49) 30 2312500", None, "+49302312500"),
        ("030/2312500", "DE", "+49302312500"),
        ("+49/30/2312500", None, "+49302312500"),
        ("15112345678", "DE", "+4915112345678"),
        ("131 2345 6789", "CN", "+8613123456789"),
        ("2025550112", "US", "+12025550112"),
        ("12025550112", "US", "+12025550112"),
        ("+4915101000000", None, "+4915101000000"),
    ],
)
def test_what_a_person_reads_as_one_number_is_that_number(number, region, expected):
    assert normalise(number, region) == expected
    assert refusal(number, region) is None


def test_thousands_separators_are_a_number_only_where_the_region_has_it():
    assert normalise("49.302.312.500", "DE") == "+49302312500"
    assert "spreadsheet" in str(refusal("49.302.312.500", None))


def test_a_number_that_lost_its_zero_or_its_plus_is_refused_where_it_may_be_either():
    assert normalise("15123456789", "DE") == "15123456789"
    assert "write it with +" in str(refusal("15123456789", "DE"))
    assert refusal("15123456789", None) is refusal("15123456789", "US") is None


@pytest.mark.parametrize("region", [None, "DE", "KE", "US"])
@pytest.mark.parametrize("code", ["144", "110", "22922", "116117", "20880"])
def test_short_codes_can_be_sent_to(code, region):
    assert refusal(code, region) is None


@pytest.mark.parametrize(
    ("number", "region"),
    [
        ("87330", "FI"),
        ("40425", "DE"),
        ("464034", "DE"),
        ("59873", "AT"),
        ("2345678", "DE"),
        ("6817303", "AT"),
        ("22788022", "DE"),
    ],
)
def test_a_short_code_or_a_number_without_its_area_code_is_not_made_another_towns(number, region):
    assert normalise(number, region) == normalise_sender(number, region) == number
    assert refusal(number, region) is None


@given(
    st.integers(100, 999_999).map(str), st.sampled_from(["DE", "AT", "FI", "US", "GB", "IT", "PL"])
)
def test_nothing_as_short_as_a_short_code_becomes_a_number(code, region):
    assert normalise(code, region) == code


@given(
    st.text("+0123456789 .,/-()'eE\u200b\u202d", max_size=24), st.sampled_from([None, "DE", "US"])
)
def test_what_is_sent_to_has_the_digits_that_were_written(text, region):
    if refusal(text, region) is not None:
        return
    digits, kept = (re.sub("[^0-9]", "", some) for some in (text, normalise(text, region)))
    assert is_dialable(normalise(text, region))
    # Apart from prefixes at the front, such as 00 and a country code, and the zero in `+49 (0)30`.
    assert kept.endswith(digits[-6:]) or len(digits) < 7


@given(st.text(), st.sampled_from([None, "DE", "KE", "US"]))
def test_nothing_is_refused_and_a_second_time_changes_nothing(text, region):
    once = normalise(text, region)
    assert normalise(once, region) == once
    assert normalise_sender(text, region) in (text, once)
