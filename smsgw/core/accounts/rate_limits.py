"""Limits rates by the generic cell rate algorithm, in one database statement, exactly across all processes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

from ...errors import TooMany
from ...settings import Settings
from ...store.models import RateLimit
from ...store.on_conflict import insert_into
from ...store.queries import Query
from ...store.rows import AnyCrm
from ...store.statements import Statement
from ...store.tables import plain

UNUSED_AFTER = timedelta(days=1)
# Sums of doubles near 2e9 are some tenths of a microsecond off.
_BLUR_SECONDS = 1e-5


class _Counted(NamedTuple):
    """The row of a caller after a request."""

    was_allowed: bool
    arrival: float


def _counting(dialect: Dialect) -> Statement:
    """Return the statement that counts a request."""
    moment, each, most = (
        sa.bindparam(name, type_=sa.Double) for name in ("moment", "each", "most")
    )
    arrival = RateLimit.arrival
    later = sa.case((arrival > moment, arrival), else_=moment) + each
    is_fitting = later - moment <= most
    row = {
        "key": sa.bindparam("caller", type_=sa.String),
        "arrival": sa.bindparam("first", type_=sa.Double),
        "was_allowed": sa.true(),
    }
    change = {"was_allowed": is_fitting, "arrival": sa.case((is_fitting, later), else_=arrival)}
    statement = insert_into(plain(RateLimit), dialect).values(row)
    statement = statement.on_conflict_do_update(index_elements=["key"], set_=change)
    counted: Statement = statement.returning(RateLimit.was_allowed, RateLimit.arrival)
    return counted


_COUNT = Query(_Counted, _counting)


@dataclass(frozen=True)
class Limit:
    """`count` requests in `period_seconds`, all at once or spread."""

    name: str
    count: int
    period_seconds: int

    @property
    def seconds_each(self) -> float:
        """Return how much of the period one request takes."""
        return self.period_seconds / self.count


@dataclass(frozen=True)
class RateState:
    """The state of a caller's rate after a request. At `reset_at` (seconds since 1970) the whole rate is free again.

    `retry_after_seconds` is how long to wait after a request that was not allowed, 0 after one that was.
    """

    is_allowed: bool
    limit: int
    remaining: int
    reset_at: int
    retry_after_seconds: int


def count_request(
    session: Session, crm: AnyCrm, settings: Settings, now: datetime
) -> RateState | None:
    """Count a request of the CRM against its own rate or the setting; `None` where it has no limit."""
    most = crm.requests_per_minute
    most = settings.requests_per_minute if most is None else most
    return None if most is None else count(session, Limit("requests", most, 60), crm.id, now)


def used(
    session: Session, crms: Sequence[AnyCrm], settings: Settings, now: datetime
) -> dict[str, int]:
    """Return how many requests of its minute each of these CRMs has used, by id; 0 where it has no limit."""
    keys = [f"requests:{crm.id}" for crm in crms]
    wanted = sa.select(RateLimit.key, RateLimit.arrival).where(RateLimit.key.in_(keys))
    arrivals = dict(session.execute(wanted).all())
    found = {}
    for crm in crms:
        most = crm.requests_per_minute or settings.requests_per_minute
        ahead = arrivals.get(f"requests:{crm.id}", 0) - now.timestamp()
        found[crm.id] = 0 if most is None else min(most, max(0, math.ceil(ahead * most / 60)))
    return found


def check_request(session: Session, crm: AnyCrm, settings: Settings, now: datetime) -> None:
    """Count a request of the CRM. Raises `TooMany` where its rate is used up."""
    state = count_request(session, crm, settings, now)
    if state is not None and not state.is_allowed:
        raise refusal(state)


def refusal(state: RateState) -> TooMany:
    """Return the error for a request that is not allowed."""
    return TooMany(
        f"at most {state.limit:,} requests a minute",
        retry_after_seconds=state.retry_after_seconds,
    )


def count(session: Session, limit: Limit, caller: str, now: datetime) -> RateState:
    """Count a request of the caller against the limit; one that is not allowed uses nothing up."""
    moment = now.timestamp()
    row = _COUNT.one(
        session,
        caller=f"{limit.name}:{caller}",
        moment=moment,
        first=moment + limit.seconds_each,
        each=limit.seconds_each,
        most=limit.period_seconds + _BLUR_SECONDS,
    )
    return _state(limit, row.was_allowed, row.arrival - moment, moment)


def forget_unused(session: Session, now: datetime) -> None:
    """Remove the counts nobody has used for a day."""
    oldest = (now - UNUSED_AFTER).timestamp()
    session.execute(sa.delete(RateLimit).where(RateLimit.arrival <= oldest))


def _state(limit: Limit, is_allowed: bool, used_seconds: float, moment: float) -> RateState:
    free_seconds = limit.period_seconds - used_seconds + _BLUR_SECONDS
    wait_seconds = used_seconds + limit.seconds_each - limit.period_seconds
    return RateState(
        is_allowed=is_allowed,
        limit=limit.count,
        remaining=max(0, math.floor(free_seconds / limit.seconds_each)),
        reset_at=math.ceil(moment + used_seconds),
        retry_after_seconds=0 if is_allowed else max(1, math.ceil(wait_seconds)),
    )
