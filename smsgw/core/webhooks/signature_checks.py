"""Explains a webhook's signature: which secret made it, or which mistake."""

import base64
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from .secrets import HasSecrets
from .signing import PREFIX, key_of

TOLERANCE_SECONDS = 300
LONGEST_BODY = 200_000

_MILLISECONDS = re.compile(r"\d{13}")
_SECONDS = re.compile(r"\d{1,11}")
_KEYS: tuple[tuple[str, Callable[[str], bytes]], ...] = (
    ("", key_of),
    (
        "the text after whsec_ was used as the key: decode it as base64 first",
        lambda secret: secret.removeprefix(PREFIX).encode(),
    ),
    (
        "the secret's text was used as the key: leave out whsec_ and decode the rest as base64",
        str.encode,
    ),
)
_CONTENTS: tuple[tuple[str, Callable[["Pasted"], bytes]], ...] = (
    ("", lambda pasted: f"{pasted.event_id}.{pasted.timestamp}.".encode()),
    ("the body alone was signed", lambda _: b""),
    ("webhook-id was left out", lambda pasted: f"{pasted.timestamp}.".encode()),
    ("webhook-timestamp was left out", lambda pasted: f"{pasted.event_id}.".encode()),
    (
        "webhook-id and webhook-timestamp were swapped",
        lambda pasted: f"{pasted.timestamp}.{pasted.event_id}.".encode(),
    ),
)
_ENCODINGS: tuple[tuple[str, Callable[[bytes], str]], ...] = (
    ("", lambda digest: base64.b64encode(digest).decode()),
    ("it is written in hexadecimal instead of base64", bytes.hex),
    (
        "it is written in the base64 of URLs, with - and _ instead of + and /",
        lambda digest: base64.urlsafe_b64encode(digest).decode(),
    ),
)


@dataclass(frozen=True)
class Pasted:
    """The parts of a request that a developer pastes."""

    event_id: str
    timestamp: str
    signature: str
    body: bytes


@dataclass(frozen=True)
class Verdict:
    """The answer to a check: `state` is `ok` or `wrong`; `secret_number` counts from 1, the newest.

    `faults` and `notes` are sentences that begin with a small letter; `ends_at` is when the secret ends or has ended.
    """

    state: str
    faults: Sequence[str]
    notes: Sequence[str]
    secret_number: int | None = None
    ends_at: str | None = None


def check(endpoint: HasSecrets, pasted: Pasted, sent: bytes | None, now: datetime) -> Verdict:
    """Return which of the endpoint's secrets made the signature, or what is wrong.

    `sent` is the body that was sent under this `webhook-id`, where it is known.
    """
    faults = [*_timestamp_faults(pasted.timestamp), *_signature_faults(pasted.signature)]
    notes = list(_notes(pasted.timestamp, now))
    for number, entry in enumerate(endpoint.secrets, 1):
        mistakes = _mistakes(str(entry["secret"]), pasted, sent)
        if mistakes is not None:
            ended = [_ended(entry["expires_at"], now)] if entry["expires_at"] else []
            all_faults = [*mistakes, *filter(None, ended), *faults]
            state = "wrong" if all_faults else "ok"
            return Verdict(state, all_faults, notes, number, entry["expires_at"])
    return Verdict("wrong", [_no_match(endpoint, pasted, sent), *faults], notes)


def _mistakes(secret: str, pasted: Pasted, sent: bytes | None) -> list[str] | None:
    """Return the mistakes with which this secret makes the signature, none if it is right; `None` if it never does."""
    given = [_value(part).encode() for part in pasted.signature.split()]
    for (wrong_body, body), (wrong_content, start), (wrong_key, key) in product(
        _bodies(pasted, sent), _CONTENTS, _KEYS
    ):
        digest = hmac.digest(key(secret), start(pasted) + body, "sha256")
        for wrong_encoding, encode in _ENCODINGS:
            if any(hmac.compare_digest(encode(digest).encode(), one) for one in given):
                found = (wrong_key, wrong_content, wrong_encoding, wrong_body)
                return [mistake for mistake in found if mistake]
    return None


def _bodies(pasted: Pasted, sent: bytes | None) -> Iterator[tuple[str, bytes]]:
    yield "", pasted.body
    if pasted.body.strip() != pasted.body:
        yield "", pasted.body.strip()
    if sent is not None and sent != pasted.body.strip():
        yield (
            (
                "the signature is right for the body that was sent, and this body is another: it was changed before "
                "it was checked, such as read as JSON and written again. Check the bytes as they came"
            ),
            sent,
        )


def _value(part: str) -> str:
    return part.removeprefix("v1,")


def _signature_faults(signature: str) -> Iterator[str]:
    parts = signature.split()
    if parts and not any(part.startswith("v1,") for part in parts):
        yield "the signature does not begin with v1 and a comma"


def _timestamp_faults(timestamp: str) -> Iterator[str]:
    if _MILLISECONDS.fullmatch(timestamp):
        yield "the timestamp is in milliseconds: it must be in seconds since 1970"
    elif not _SECONDS.fullmatch(timestamp):
        yield "the timestamp is no number of seconds since 1970"


def _notes(timestamp: str, now: datetime) -> Iterator[str]:
    if _SECONDS.fullmatch(timestamp) and abs(now.timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        yield (
            "the timestamp is more than 5 minutes off by now, and receivers refuse such a request. If your program "
            "refused it as it came, compare the clock of its machine with this server's"
        )


def _ended(expires_at: str | None, now: datetime) -> str | None:
    is_over = expires_at is not None and datetime.fromisoformat(expires_at) <= now
    return "this secret was replaced, and signs no more" if is_over else None


def _no_match(endpoint: HasSecrets, pasted: Pasted, sent: bytes | None) -> str:
    if not endpoint.secrets:
        return "the endpoint has no secret"
    if sent is not None and sent == pasted.body.strip():
        return (
            "the body is what was sent, but none of the endpoint's secrets made this signature: it was made with the "
            "secret of another endpoint, or with one that was replaced"
        )
    if sent is not None:
        return (
            "none of the endpoint's secrets made this signature, and the body is not what was sent under this "
            "webhook-id: it was changed before it was checked. Check the bytes as they came"
        )
    return (
        "none of the endpoint's secrets made this signature for this body: the body was changed before it was checked, "
        "or the secret is that of another endpoint. This endpoint was sent no event with this webhook-id"
    )
