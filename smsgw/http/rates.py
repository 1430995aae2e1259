"""Counts the requests of CRMs against their rates, before the body is read."""

from flask import Response, g

from .. import clock
from ..core.accounts import rate_limits
from ..core.accounts.rate_limits import RateState
from ..store.rows import Caller
from .context import services


def count(crm: Caller, *, may_repeat: bool = False) -> Caller:
    """Count a request of the CRM if its rate is limited, and return the CRM.

    Raises `TooMany`. With `may_repeat`, returns the CRM with a `refusal` instead, which applies to new messages but not
    to repeats of a known `reference`.
    """
    settings = services().settings
    if crm.requests_per_minute is None and settings.requests_per_minute is None:
        return crm
    with services().database.transaction() as session:
        rate_state = rate_limits.count_request(session, crm, settings, clock.now())
    g.rate_state = rate_state
    if rate_state is None or rate_state.is_allowed:
        return crm
    refusal = rate_limits.refusal(rate_state)
    if not may_repeat:
        raise refusal
    return crm._replace(refusal=refusal)


def add_headers(answer: Response, rate_state: RateState) -> Response:
    """Add the headers that show the state of the rate."""
    answer.headers["X-RateLimit-Limit"] = str(rate_state.limit)
    answer.headers["X-RateLimit-Remaining"] = str(rate_state.remaining)
    answer.headers["X-RateLimit-Reset"] = str(rate_state.reset_at)
    return answer
