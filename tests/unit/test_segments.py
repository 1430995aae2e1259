"""Segments, against fixed cases and against smsutil."""

import pytest
import smsutil
from hypothesis import given, settings
from hypothesis import strategies as st

from smsgw.sms.segments import BASIC, EXTENSION, measure

GSM = "".join(sorted(BASIC | EXTENSION))
ENCODINGS = {"gsm0338": "gsm7", "utf_16_be": "ucs2"}
# smsutil takes the escape itself for a character of the alphabet, which it is not.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1b"))
GSM_TEXT = st.text(st.sampled_from(GSM + "€€€€[]"), max_size=500)
EMOJI_TEXT = st.text(st.sampled_from("aé😀👍漢"), max_size=250)


@pytest.mark.parametrize(
    ("content", "encoding", "segments", "units", "units_left"),
    [
        ("", "gsm7", 1, 0, 160),
        ("a", "gsm7", 1, 1, 159),
        ("a" * 160, "gsm7", 1, 160, 0),
        ("a" * 161, "gsm7", 2, 161, 145),
        ("a" * 306, "gsm7", 2, 306, 0),
        ("a" * 307, "gsm7", 3, 307, 152),
        ("€" * 80, "gsm7", 1, 160, 0),
        ("€" * 81, "gsm7", 2, 162, 143),
        ("ж" * 70, "ucs2", 1, 70, 0),
        ("ж" * 71, "ucs2", 2, 71, 63),
        ("ж" * 134, "ucs2", 2, 134, 0),
        ("ж" * 135, "ucs2", 3, 135, 66),
        ("😀" * 35, "ucs2", 1, 70, 0),
        ("😀" * 36, "ucs2", 2, 72, 61),
        ("\t", "ucs2", 1, 1, 69),
        ("ç", "ucs2", 1, 1, 69),
        ("Ç", "gsm7", 1, 1, 159),
        ("\x1b", "ucs2", 1, 1, 69),
    ],
)
def test_a_text_is_measured(content, encoding, segments, units, units_left):
    found = measure(content)
    assert (found.encoding, found.segments, found.units, found.units_left) == (
        encoding,
        segments,
        units,
        units_left,
    )


def test_an_escape_pair_is_never_split():
    # 152 + 2 septets do not fit into 153, so the euro sign begins the second segment.
    found = measure("a" * 152 + "€" + "a" * 151)
    assert (found.segments, found.units_left) == (2, 0)
    assert measure("a" * 152 + "€" + "a" * 152).segments == 3


def test_a_surrogate_pair_is_never_split():
    found = measure("ж" * 66 + "😀" + "ж" * 65)
    assert (found.segments, found.units_left) == (2, 0)
    assert measure("ж" * 66 + "😀" + "ж" * 66).segments == 3


def test_the_characters_that_force_ucs2_are_named_once_and_in_order():
    assert measure("»Grüße« – €5 »").offending == ("»", "«", "–")
    assert measure("Grüße €5").offending == ()


def test_the_room_of_a_segment_shrinks_when_there_are_several():
    assert measure("a" * 160).units_per_segment == 160
    assert measure("a" * 161).units_per_segment == 153
    assert measure("ж").units_per_segment == 70
    assert measure("ж" * 71).units_per_segment == 67


@settings(max_examples=300, deadline=None)
@given(st.one_of(ANY_TEXT, GSM_TEXT, EMOJI_TEXT).filter(bool))
def test_smsutil_measures_the_same(content):
    theirs = smsutil.split(content)
    ours = measure(content)
    assert ours.encoding == ENCODINGS[theirs.encoding]
    assert ours.segments == len(theirs.parts)
    assert ours.units == theirs.total_bytes // (1 if ours.encoding == "gsm7" else 2)
    last = theirs.parts[-1].bytes // (1 if ours.encoding == "gsm7" else 2)
    assert ours.units_left == ours.units_per_segment - last


@given(st.text())
def test_a_text_is_offending_exactly_when_it_needs_ucs2(content):
    found = measure(content)
    assert (found.encoding == "ucs2") == bool(found.offending)
    assert 0 <= found.units_left <= found.units_per_segment
