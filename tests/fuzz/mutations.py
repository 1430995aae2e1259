"""Bodies, frames, files and headers of the usual shape with something wrong in them, for hypothesis to draw."""

import base64
import codecs
import copy
import gzip
import json
import os
import random
import zlib
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

# How many are tried; the suite tries the same few each time, `make fuzz` many other ones.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))
IS_LONG = "FUZZ_EXAMPLES" in os.environ
SEED = int(os.environ.get("FUZZ_SEED", "0")) or (random.randrange(10**9) if IS_LONG else 1)

TEXTS = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=20),
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "\ud800",
            "\udc00\ud800",
            "null",
            "+12025550123",
            "+" * 30,
            "٠١٢٣",
            "e\u0301" * 40,
            "\u202e\u2066",
            "👨‍👩‍👧‍👦" * 30,
            "x" * 70_000,
            "'; DROP TABLE messages; --",
            "{{7*7}}%s%n{0}",
            "../../etc/passwd",
            "2026-03-01T00:00:00Z",
            "9999-12-31T23:59:60+99:99",
            "\r\nX-Injected: 1",
        ]
    ),
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([-(2**63) - 1, 2**63, 2**31, 10**40, -1, 0, 1e308, -0.0, 10**400]),
    st.floats(),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


def fuzz(shapes: Any, *others: Any, part: int = 1) -> Callable[[Any], Any]:
    """Have a test's function called with what these draw; `part` is how much less often than others."""

    def wrap(attempt: Callable[..., None]) -> Callable[[], None]:
        bounded = settings(
            max_examples=max(EXAMPLES // part, 5),
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        return seed(SEED)(bounded(given(shapes, *others)(attempt)))

    return wrap


@st.composite
def mutated(draw: Any, shape: Any) -> Any:
    """The shape with up to four things changed in it, anywhere."""
    value = [copy.deepcopy(shape)]
    for _ in range(draw(st.integers(0, 4))):
        holder, key = draw(st.sampled_from(_places(value)))
        holder[key] = draw(_changed(holder[key]))
    return value[0]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """All that can be replaced, as its holder and the key there."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += _places(inner)
    return found


def _changed(value: Any) -> Any:
    repeated = [value] * 3 if not isinstance(value, list) else value * 2
    return st.one_of(
        VALUES,
        st.just(repeated),
        st.sampled_from([{"a": value}, [value], [], {}, str(value), None]),
        st.integers(1, 700).map(lambda depth: _nested(value, depth)),
        st.dictionaries(TEXTS, VALUES, max_size=3).map(
            lambda more: {**value, **more} if isinstance(value, dict) else more
        ),
    )


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@st.composite
def written(draw: Any, shape: Any) -> bytes:
    """A mutated shape as JSON, mostly readable: sometimes in another encoding, cut off, or with bytes changed."""
    value = draw(mutated(shape))
    try:
        text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    except (ValueError, RecursionError):
        text = "{}"
    way = draw(st.integers(0, 11))
    if way == 0:
        text = text.replace('{"', '{"id": 1, "', 1) if text.startswith("{") else f"[{text}]"
    body = text.encode("utf-8", "surrogatepass")
    if way == 1:
        body = codecs.BOM_UTF8 + body
    elif way == 2:
        body = text.encode("utf-16", "surrogatepass")
    elif way == 3:
        body = body[: draw(st.integers(0, len(body)))]
    elif way == 4 and body:
        place = draw(st.integers(0, len(body) - 1))
        body = body[:place] + draw(st.binary(min_size=1, max_size=4)) + body[place + 1 :]
    elif way == 5:
        body = draw(st.binary(max_size=200))
    return body


@st.composite
def packed(draw: Any, body: bytes) -> tuple[bytes, str]:
    """The body as some encoding, and what the header says of it; they need not agree."""
    way = draw(
        st.sampled_from(["identity", "gzip", "deflate", "members", "cut", "garbage", "bomb"])
    )
    said = draw(st.sampled_from(["gzip", "deflate", "x-gzip", "br", "gzip, gzip", "GZIP", "\xff"]))
    if way == "gzip":
        return gzip.compress(body), "gzip"
    if way == "deflate":
        return zlib.compress(body), draw(st.sampled_from(["deflate", "gzip"]))
    if way == "members":
        half = len(body) // 2
        empty = gzip.compress(b"") * draw(st.integers(0, 60))
        return empty + gzip.compress(body[:half]) + empty + gzip.compress(body[half:]), "gzip"
    if way == "cut":
        whole = gzip.compress(body)
        return whole[: draw(st.integers(0, len(whole)))], "gzip"
    if way == "garbage":
        return gzip.compress(body) + draw(st.binary(max_size=30)), "gzip"
    if way == "bomb":
        return gzip.compress(b" " * draw(st.integers(0, 40_000_000))), "gzip"
    return body, said


HEADER_VALUES = st.one_of(
    st.text(
        st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40
    ),
    st.sampled_from(
        ["", " ", ",", ";", "=", '"', "-1", "0", "99999999999999999999", "bytes=0-1", "x" * 5000]
    ),
)
AUTHORIZATIONS = st.one_of(
    HEADER_VALUES,
    st.sampled_from(
        [
            "Basic",
            "Basic ",
            "Basic =",
            "Basic Og==",
            "Basic //////",
            "Basic cGhvbmUtMQ==",
            "Basic cGhvbmUtMTo=",
            "Basic cGhvbmUtMTp4\tcGhvbmUtMTp4",
            "Basic cGhvbmUtMQA6eA==",
            "Basic " + "QUFB" * 3000,
            "Bearer",
            "Bearer  ",
            "Bearer crm_live_",
            "Bearer crm_live_\x85",
            "Bearer gw_live_" + "0" * 3000,
            "Bearer op_live_é",
            'Digest username="x", realm=',
            "Negotiate YII=",
        ]
    ),
    st.binary(max_size=40).map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Content-Type",
            "Cookie",
            "Expect",
            "Forwarded",
            "Host",
            "Idempotency-Key",
            "If-None-Match",
            "Range",
            "User-Agent",
            "X-API-Key",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-HTTP-Method-Override",
            "X-Request-ID",
        ]
    ),
    HEADER_VALUES,
    max_size=4,
)
