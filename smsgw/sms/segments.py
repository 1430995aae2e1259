"""Splits a text for the radio: GSM 7-bit or UCS-2, one segment or several."""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import regex

# The default alphabet of 3GPP 23.038 6.2.1, without the escape (0x1B), which is no character by itself.
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Its extension table, 6.2.1.1: each is sent as an escape and one more septet.
EXTENSION = frozenset("\f^{}\\[~]|€")
# What people take for one character: the clusters of Unicode's UAX #29 (table 1c), at which Android cuts. Conjuncts of
# Indic scripts stay together (rule GB9c), as in ICU since 74: Android 15 and newer. Android 9 to 14 (ICU 60 to 72) may
# cut inside a conjunct, which now and then makes a segment more or less. Not the library's `\X`: in 2026.11.19 that
# joins a consonant to any virama, also to one that follows no consonant.
CLUSTER = regex.compile(
    r"""
    \r\n
    | \p{GCB=Prepend}*
      (?: \p{GCB=L}* (?: \p{GCB=V}+ | \p{GCB=LV} \p{GCB=V}* | \p{GCB=LVT} ) \p{GCB=T}* | \p{GCB=L}+ | \p{GCB=T}+
        | \p{GCB=Regional_Indicator}{2}
        | \p{Extended_Pictographic} (?: \p{GCB=Extend}*+ \p{GCB=ZWJ} \p{Extended_Pictographic} )*
        | \p{InCB=Consonant} (?: (?= \p{InCB=Extend}*+ \p{InCB=Linker} )
                                [\p{InCB=Extend}\p{InCB=Linker}]*+ \p{InCB=Consonant} )*
        | [^\p{GCB=Control}\p{GCB=CR}\p{GCB=LF}]
      )
      [\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}]*+
    | .
    """,
    regex.VERBOSE | regex.DOTALL,
)
FLAG_LETTERS = range(0x1F1E6, 0x1F200)


@dataclass(frozen=True)
class Measure:
    """The segments and units that a text takes.

    A unit is a septet in `gsm7` and a UTF-16 code unit in `ucs2`. `units_per_segment` is the room in each of
    `segments`, `units_left` what still fits before another segment begins, and `offending` the characters that
    rule `gsm7` out, each once, in the order they stand.
    """

    encoding: str
    segments: int
    units: int
    units_per_segment: int
    units_left: int
    offending: tuple[str, ...]


def measure(content: str) -> Measure:
    """Return the encoding and the segments Android will use for this text. An empty text is one empty segment."""
    if BASIC.issuperset(content):  # nearly all texts, and by far the quickest to tell
        return _cut("gsm7", [1] * len(content), single=160, multi=153, offending=())
    offending = tuple(dict.fromkeys(c for c in content if c not in BASIC and c not in EXTENSION))
    if offending:
        return _cut_ucs2(content, offending)
    costs = [2 if c in EXTENSION else 1 for c in content]
    return _cut("gsm7", costs, single=160, multi=153, offending=())


def _cut(
    encoding: str, costs: list[int], *, single: int, multi: int, offending: tuple[str, ...]
) -> Measure:
    units = sum(costs)
    if units <= single:
        return Measure(encoding, 1, units, single, single - units, offending)
    segments, filled = _fill(costs, multi)
    return Measure(encoding, segments, units, multi, multi - filled, offending)


def _cut_ucs2(content: str, offending: tuple[str, ...]) -> Measure:
    units = content.encode("utf-16-le", "surrogatepass")
    count = len(units) // 2
    if count <= 70:
        return Measure("ucs2", 1, count, 70, 70 - count, offending)
    starts = _ucs2_starts(content, units, 67)
    return Measure("ucs2", len(starts), count, 67, starts[-1] + 67 - count, offending)


def _ucs2_starts(content: str, units: bytes, room: int) -> list[int]:
    """Return where each segment begins, in units. Android cuts at the last cluster's start (`SmsMessageBase`)."""
    clusters = CLUSTER.findall(content)
    boundaries = [
        0,
        *accumulate(len(one.encode("utf-16-le", "surrogatepass")) // 2 for one in clusters),
    ]
    starts, end = [0], len(units) // 2
    while starts[-1] + room < end:
        starts.append(_next_start(units, boundaries, starts[-1], starts[-1] + room))
    return starts


def _next_start(units: bytes, boundaries: Sequence[int], start: int, limit: int) -> int:
    """Return the last boundary up to the limit. A cluster longer than a segment is cut, but no surrogate pair."""
    boundary = boundaries[bisect(boundaries, limit) - 1]
    # Android steps over flags, which an old ICU did not tell apart.
    while boundary + 4 <= limit and _is_flag(units, boundary):
        boundary += 4
    if boundary > start:
        return boundary
    return limit - 1 if 0xD800 <= _unit(units, limit - 1) < 0xDC00 else limit


def _is_flag(units: bytes, position: int) -> bool:
    """Return whether two letters of a flag follow, each a surrogate pair."""
    pair = units[2 * position : 2 * position + 8].decode("utf-16-le", "replace")
    return len(pair) == 2 and all(ord(letter) in FLAG_LETTERS for letter in pair)


def _unit(units: bytes, position: int) -> int:
    return int.from_bytes(units[2 * position : 2 * position + 2], "little")


def _fill(costs: Iterable[int], room: int) -> tuple[int, int]:
    """Return the segments needed and the units in the last one. An escape and its character stay in one segment."""
    segments, filled = 1, 0
    for cost in costs:
        if filled + cost > room:
            segments, filled = segments + 1, 0
        filled += cost
    return segments, filled
