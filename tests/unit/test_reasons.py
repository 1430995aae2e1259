"""What each of cht-gateway's failure reasons means."""

import pytest

from smsgw.sms.reasons import UNKNOWN, classify, in_words

MEANINGS = [
    ("destination.invalid", "permanent"),
    ("no-service", "temporary"),
    ("radio-off", "temporary"),
    ("null-pdu", "temporary"),
    ("generic; errorCode=38", "unknown"),
    ("generic; no errorCode supplied", "unknown"),
    ("unknown; resultCode=5", "limit"),
    ("unknown; resultCode=6", "permanent"),
    ("unknown; resultCode=7", "permanent"),
    ("unknown; resultCode=8", "permanent"),
    ("unknown; resultCode=55", "unknown"),
    (
        "Exception: java.lang.IllegalArgumentException: Invalid message body;"
        " message: Invalid message body; cause: null",
        "permanent",
    ),
    ("Exception: java.lang.SecurityException: no; message: no; cause: null", "unknown"),
    ("Delivery failed: Remote procedure error", "permanent"),
    ("Delivery failed: Incompatible destination", "permanent"),
    ("Delivery failed: Connection rejected by SME", "permanent"),
    ("Delivery failed: Not obtainable", "permanent"),
    ("Delivery failed: Quality of service not available", "unknown"),
    ("Delivery failed: No interworking available", "permanent"),
    ("Delivery failed: SM Validity Period Expired", "permanent"),
    ("Delivery failed: SM Deleted by originating SME", "permanent"),
    ("Delivery failed: SM Deleted by SC Administration", "permanent"),
    ("Delivery failed: SM does not exist", "permanent"),
    ("Delivery failed: Permanent error (Reserved: 0x4a)", "permanent"),
    ("Delivery failed: SMSC-specific permanent error: 0x5f", "permanent"),
    ("Delivery failed: Congestion", "temporary"),
    ("Delivery failed: SME busy", "temporary"),
    ("Delivery failed: No response from SME", "temporary"),
    ("Delivery failed: Service rejected", "temporary"),
    ("Delivery failed: Error in SME", "temporary"),
    ("Delivery failed: Temporary error (Reserved: 0x6a)", "temporary"),
    ("Delivery failed: SMSC-specific temporary error: 0x7f", "temporary"),
    ("", "unknown"),
    ("something new", "unknown"),
]


@pytest.mark.parametrize(("reason", "meaning"), MEANINGS)
def test_a_reason_has_its_meaning(reason, meaning):
    assert classify(reason) == meaning


def test_blanks_around_a_reason_do_not_matter():
    assert classify(" radio-off\n") == "temporary"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("destination.invalid", "compare the number"),
        ("radio-off", "flight mode"),
        ("generic; errorCode=38", "the SIM has no credit"),
        ("unknown; resultCode=5", "Resend it later"),
        ("Delivery failed: Not obtainable", "would fail in the same way"),
        ("Delivery failed: Congestion", "may succeed"),
        ("opted_out", "wants no more messages"),
    ],
)
def test_a_reason_says_to_people_what_to_do(reason: str, words: str):
    assert words in (in_words(reason, classify(reason)) or "")


def test_a_reason_that_nobody_knows_has_no_words():
    assert in_words("something new", UNKNOWN) is None
