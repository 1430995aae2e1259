"""Rate limits: the generic cell rate algorithm as one statement of the database, exact over all processes."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from ..errors import TooMany
from ..settings import Settings
from ..store.db import is_postgresql
from ..store.models import RateLimit
from .rows import AnyCrm

UNUSED_AFTER = timedelta(days=1)
# Sums of doubles near 2e9 are some tenths of a microsecond off.
_BLUR_SECONDS = 1e-5


@dataclass(frozen=True)
class Limit:
    """`count` requests in `period_seconds`, all at once or spread."""

    name: str
    count: int
    period_seconds: int

    @property
    def seconds_each(self) -> float:
        """How much of the period one request takes."""
        return self.period_seconds / self.count


@dataclass(frozen=True)
class Standing:
    """Where a caller stands after a request. `reset_at` is in seconds since 1970: when all of the rate is free again.

    `retry_after_seconds` is how long to wait after a request that was not allowed, 0 after one that was.
    """

    is_allowed: bool
    limit: int
    remaining: int
    reset_at: int
    retry_after_seconds: int


def count_request(
    session: Session, crm: AnyCrm, settings: Settings, now: datetime
) -> Standing | None:
    """Count a request of the CRM against its own rate or the setting; `None` where it has no limit."""
    most = crm.requests_per_minute
    most = settings.requests_per_minute if most is None else most
    return None if most is None else count(session, Limit("requests", most, 60), crm.id, now)


def check_request(session: Session, crm: AnyCrm, settings: Settings, now: datetime) -> None:
    """Count a request of the CRM; `TooMany` where its rate is used up."""
    standing = count_request(session, crm, settings, now)
    if standing is not None and not standing.is_allowed:
        raise refusal(standing)


def refusal(standing: Standing) -> TooMany:
    """Return the error for a request that is not allowed."""
    return TooMany(
        f"at most {standing.limit:,} requests a minute",
        retry_after_seconds=standing.retry_after_seconds,
    )


def count(session: Session, limit: Limit, caller: str, now: datetime) -> Standing:
    """Counts a request of the caller against the limit; one that is not allowed takes nothing away."""
    moment = now.timestamp()
    each, period = limit.seconds_each, float(limit.period_seconds)
    arrival = RateLimit.arrival
    later = sa.case((arrival > moment, arrival), else_=moment) + each
    is_fitting = later - moment <= period + _BLUR_SECONDS
    insert = postgresql.insert if is_postgresql(session) else sqlite.insert
    statement = insert(RateLimit).values(
        key=f"{limit.name}:{caller}", arrival=moment + each, was_allowed=True
    )
    row = session.execute(
        statement.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "was_allowed": is_fitting,
                "arrival": sa.case((is_fitting, later), else_=arrival),
            },
        ).returning(RateLimit.was_allowed, RateLimit.arrival)
    ).one()
    return _standing(limit, row.was_allowed, row.arrival - moment, moment)


def _standing(limit: Limit, is_allowed: bool, used_seconds: float, moment: float) -> Standing:
    free_seconds = limit.period_seconds - used_seconds + _BLUR_SECONDS
    wait_seconds = used_seconds + limit.seconds_each - limit.period_seconds
    return Standing(
        is_allowed=is_allowed,
        limit=limit.count,
        remaining=max(0, math.floor(free_seconds / limit.seconds_each)),
        reset_at=math.ceil(moment + used_seconds),
        retry_after_seconds=0 if is_allowed else max(1, math.ceil(wait_seconds)),
    )


def forget_unused(session: Session, now: datetime) -> None:
    """Removes the counts nobody has used for a day."""
    oldest = (now - UNUSED_AFTER).timestamp()
    session.execute(sa.delete(RateLimit).where(RateLimit.arrival <= oldest))
