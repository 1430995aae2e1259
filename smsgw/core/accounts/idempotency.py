"""Stores the answer to each `Idempotency-Key` for 24 hours, so that a repeat gets the same answer."""

from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Conflict
from ...store.inserts import InsertNew
from ...store.models import IdempotentRequest

LASTS = timedelta(hours=24)


class KeyedRequest(NamedTuple):
    """A request under an `Idempotency-Key`. `request_hash` tells it from others under the same key."""

    caller: str
    key: str
    request_hash: str
    created_at: datetime


class KeptAnswer(NamedTuple):
    """The answer to an earlier request under the same key."""

    status_code: int
    location: str | None
    body: str


_NEW_REQUESTS = InsertNew(
    IdempotentRequest,
    KeyedRequest,
    conflict_on=[IdempotentRequest.caller, IdempotentRequest.key],
    returning=IdempotentRequest.key,
)


def begin(session: Session, request: KeyedRequest) -> KeptAnswer | None:
    """Record this request and return `None`, or return the answer to the same request that came before.

    Of two simultaneous requests, the second waits for the commit of the first. Raises `Conflict` if the key was used
    for another request, or if the answer contained a secret, which is not stored.
    """
    outdated = IdempotentRequest.created_at <= request.created_at - LASTS
    session.execute(sa.delete(IdempotentRequest).where(_is_of(request), outdated))
    if _NEW_REQUESTS.new(session, [request]):
        return None
    earlier = session.scalars(sa.select(IdempotentRequest).where(_is_of(request))).one()
    if earlier.request_hash != request.request_hash:
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
    return KeptAnswer(earlier.status_code or 200, earlier.location, earlier.body)


def keep_answer(
    session: Session,
    request: KeyedRequest,
    status_code: int,
    location: str | None,
    body: str | None,
) -> None:
    """Keep the answer to a request that has begun; `None` for a body with a secret."""
    session.execute(
        sa.update(IdempotentRequest)
        .where(_is_of(request))
        .values(status_code=status_code, location=location, body=body)
    )


def forget_old(session: Session, now: datetime) -> None:
    """Remove the answers that are kept no longer."""
    session.execute(sa.delete(IdempotentRequest).where(IdempotentRequest.created_at <= now - LASTS))


def _is_of(request: KeyedRequest) -> sa.ColumnElement[bool]:
    return sa.and_(IdempotentRequest.caller == request.caller, IdempotentRequest.key == request.key)
