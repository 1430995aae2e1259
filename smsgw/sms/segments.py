"""How a text is cut for the radio: GSM 7-bit or UCS-2, one segment or several."""

from collections.abc import Iterable
from dataclasses import dataclass

# The default alphabet of 3GPP 23.038 6.2.1, without the escape (0x1B), which is not a character of its own.
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Its extension table, 6.2.1.1: each is sent as an escape and one more septet.
EXTENSION = frozenset("\f^{}\\[~]|€")


@dataclass(frozen=True)
class Measure:
    """What a text costs on the radio.

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
    """The encoding and the segments Android will use for this text. An empty text is one empty segment."""
    if BASIC.issuperset(content):  # nearly all texts, and by far the quickest to tell
        return _cut("gsm7", [1] * len(content), single=160, multi=153, offending=())
    offending = tuple(dict.fromkeys(c for c in content if c not in BASIC and c not in EXTENSION))
    if offending:
        costs = [2 if c > "\uffff" else 1 for c in content]
        return _cut("ucs2", costs, single=70, multi=67, offending=offending)
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


def _fill(costs: Iterable[int], room: int) -> tuple[int, int]:
    """Segments needed, and units in the last one: a character of two units is never torn apart."""
    segments, filled = 1, 0
    for cost in costs:
        if filled + cost > room:
            segments, filled = segments + 1, 0
        filled += cost
    return segments, filled
