"""Answers a repeated `Idempotency-Key` as it did before, without acting a second time."""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from flask import Response, request
from sqlalchemy.orm import Session

from .. import clock
from ..core.operations.housekeeping import IDEMPOTENCY_LASTS
from ..errors import BadRequest, Conflict
from ..store.inserts import InsertNew
from ..store.models import IdempotentRequest
from . import guards
from .answers import json_answer
from .context import services
from .parsing import parsed_body

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class _Request(NamedTuple):
    caller: str
    key: str
    request_hash: str
    created_at: datetime


_NEW_REQUESTS = InsertNew(
    IdempotentRequest,
    _Request,
    conflict_on=[IdempotentRequest.caller, IdempotentRequest.key],
    returning=IdempotentRequest.key,
)

Act = Callable[[Session, datetime], Response]


def once(act: Act) -> Response:
    """Run `act` in one transaction; under an `Idempotency-Key` a repeat gets its answer again, for 24 hours.

    Of two requests at once one acts, and the other waits for its answer. What failed is not kept and may be tried
    again; another request under the same key is a `Conflict`.
    """
    return _once(act, lambda answer: answer.get_data(as_text=True))


def once_with_secret(act: Act) -> Response:
    """Do the same for an answer with a secret, which is never kept: a repeat is a `Conflict` that says so."""
    return _once(act, lambda _answer: None)


def _once(act: Act, keep: Callable[[Response], str | None]) -> Response:
    key = _key()
    with services().database.transaction() as session:
        if key is None:
            return act(session, clock.now())
        earlier = _begin(session, key, clock.now())
        if earlier is not None:
            return _again(earlier)
        answer = act(session, clock.now())
        session.execute(
            sa.update(IdempotentRequest)
            .where(IdempotentRequest.caller == guards.caller(), IdempotentRequest.key == key)
            .values(
                status_code=answer.status_code,
                location=answer.headers.get("Location"),
                body=keep(answer),
            )
        )
        return answer


def is_asked_for() -> bool:
    """Return whether this request has an `Idempotency-Key`; without it, a repeat acts again."""
    return _key() is not None


def _key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest(
            "Idempotency-Key has 1 to 255 printable ASCII characters without blanks",
            code="bad_idempotency_key",
        )
    return key


def _begin(session: Session, key: str, now: datetime) -> IdempotentRequest | None:
    """Record this request and return `None`, or return the request that used the key before."""
    caller = guards.caller()
    is_this = sa.and_(IdempotentRequest.caller == caller, IdempotentRequest.key == key)
    session.execute(
        sa.delete(IdempotentRequest).where(
            is_this, IdempotentRequest.created_at <= now - IDEMPOTENCY_LASTS
        )
    )
    if _NEW_REQUESTS.new(session, [_Request(caller, key, _request_hash(), now)]):
        return None
    return session.scalars(sa.select(IdempotentRequest).where(is_this)).one()


def _request_hash() -> str:
    wanted = [request.method, request.path.rstrip("/"), parsed_body()]
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def _again(earlier: IdempotentRequest) -> Response:
    if earlier.request_hash != _request_hash():
        raise Conflict(
            "this Idempotency-Key was used before for another request",
            code="idempotency_key_used",
        )
    if earlier.body is None:
        raise Conflict(
            "this request was made before, and the secret it gave was shown only once: "
            "rotate it to get a new one",
            code="secret_shown_once",
            details={"location": earlier.location},
        )
    answer = json_answer(earlier.body, earlier.status_code or 200)
    if earlier.location is not None:
        answer.headers["Location"] = earlier.location
    answer.headers["Idempotency-Replayed"] = "true"
    return answer
