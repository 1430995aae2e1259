"""Answers a request with a repeated `Idempotency-Key` as before, without acting a second time."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime

from flask import Response, request

from .. import clock
from ..core.accounts import idempotency
from ..core.accounts.idempotency import KeptAnswer, KeyedRequest
from ..errors import BadRequest
from ..store.db import Session
from . import guards
from .answers import json_answer
from .context import current_request, services
from .parsing import parsed_body

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

Act = Callable[[Session, datetime], Response]


def once(act: Act) -> Response:
    """Run `act` in one transaction; a request that repeats an `Idempotency-Key` within 24 hours gets the same answer.

    Of two simultaneous requests, one acts and the other waits for its answer. A failed request is not stored and may be
    repeated. Another request with the same key is a `Conflict`.
    """
    return _once(act, lambda answer: answer.get_data(as_text=True))


def once_with_secret(act: Act) -> Response:
    """Run `act` like `once`, but never store its answer, which contains a secret; a repeat is a `Conflict`."""
    return _once(act, lambda _answer: None)


def is_asked_for() -> bool:
    """Return whether this request has an `Idempotency-Key`; without one, a repeated request acts again."""
    return _key() is not None


def _once(act: Act, keep: Callable[[Response], str | None]) -> Response:
    key = _key()
    with services().database.transaction() as session:
        if key is None:
            return act(session, clock.now())
        keyed = KeyedRequest(guards.caller(), key, _request_hash(), clock.now())
        earlier = idempotency.begin(session, keyed)
        if earlier is not None:
            return _again(earlier)
        answer = act(session, clock.now())
        location = answer.headers.get("Location")
        idempotency.keep_answer(session, keyed, answer.status_code, location, keep(answer))
        return answer


def _key() -> str | None:
    key: str | None = current_request().environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest(
            "Idempotency-Key must have 1 to 255 printable ASCII characters without spaces",
            code="bad_idempotency_key",
        )
    return key


def _request_hash() -> str:
    wanted = [request.method, request.path.rstrip("/"), parsed_body()]
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def _again(earlier: KeptAnswer) -> Response:
    answer = json_answer(earlier.body, earlier.status_code)
    if earlier.location is not None:
        answer.headers["Location"] = earlier.location
    answer.headers["Idempotency-Replayed"] = "true"
    return answer
