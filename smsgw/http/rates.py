"""Counts each request of a CRM against its rate, before the body is read."""

from flask import Response, g

from .. import clock
from ..core.accounts import rate_limits
from ..core.accounts.rate_limits import RateState
from ..store.rows import Caller
from .context import services


def count(crm: Caller, *, may_repeat: bool = False) -> Caller:
    """Count a request of the CRM, where it has a limit, and return the CRM.

    Raises `TooMany`. With `may_repeat` the CRM is returned all the same, with a `refusal` of everything that is new: a
    message that it sends again under a known `reference` is not refused.
    """
    settings = services().settings
    if crm.requests_per_minute is None and settings.requests_per_minute is None:
        return crm
    with services().database.transaction() as session:
        standing = rate_limits.count_request(session, crm, settings, clock.now())
    g.standing = standing
    if standing is None or standing.is_allowed:
        return crm
    refusal = rate_limits.refusal(standing)
    if not may_repeat:
        raise refusal
    return crm._replace(refusal=refusal)


def tell(answer: Response, standing: RateState) -> Response:
    """Set the headers that say what is left of a rate."""
    answer.headers["X-RateLimit-Limit"] = str(standing.limit)
    answer.headers["X-RateLimit-Remaining"] = str(standing.remaining)
    answer.headers["X-RateLimit-Reset"] = str(standing.reset_at)
    return answer
