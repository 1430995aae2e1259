"""Lists the webhooks whose receivers take nothing, since when, and what waits for them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from ... import program
from ...clock import rfc3339
from ...store.models import WebhookEndpoint
from ..webhooks import endpoints
from . import spans
from .finding import Finding

# A receiver that is started anew is back before.
FAILING_FOR = timedelta(minutes=5)


def findings(session: Session, now: datetime) -> Iterator[Finding]:
    """Yield a finding for each webhook that was switched off because it failed, or has failed for a while."""
    everyone = endpoints.everyone(session)
    failing = [one for one in everyone if one.enabled and _has_failed_long(one, now)]
    counts = endpoints.pending_counts(session, [one.id for one in failing]) if failing else {}
    for endpoint in everyone:
        if endpoint in failing:
            yield _failing(endpoint, counts[endpoint.id], now)
        elif not endpoint.enabled and endpoint.disabled_reason != endpoints.BY_HAND:
            yield _switched_off(endpoint, now)


def _has_failed_long(endpoint: WebhookEndpoint, now: datetime) -> bool:
    since = endpoint.failing_since
    return since is not None and since <= now - FAILING_FOR


def _failing(endpoint: WebhookEndpoint, waiting: int, now: datetime) -> Finding:
    assert endpoint.failing_since is not None
    what = "has not answered in time" if endpoint.has_timed_out else "has failed"
    # A path may hold a token of the receiver.
    host = urlsplit(endpoint.url).netloc.rpartition("@")[2]
    waits = "event waits" if waiting == 1 else "events wait"
    return Finding(
        f"webhook {endpoint.id}",
        "wrong",
        f"{what} since {spans.since(endpoint.failing_since, now)}, and {waiting:,} {waits} for {host}",
        f"{program.line(f'webhook test {endpoint.id}')} shows what it answers and what to do; "
        "once it works, what waits is sent by itself",
        "repair the receiver: the page shows what it answers. What waits is sent then by itself",
    )


def _switched_off(endpoint: WebhookEndpoint, now: datetime) -> Finding:
    at = "" if endpoint.disabled_at is None else f" at {spans.since(endpoint.disabled_at, now)}"
    since = rfc3339(endpoint.failing_since or endpoint.disabled_at or now)
    return Finding(
        f"webhook {endpoint.id}",
        "wrong",
        f"was switched off{at}: {endpoint.disabled_reason}",
        f"repair the receiver, then {program.line(f'webhook enable {endpoint.id}')} and "
        f"{program.line(f'webhook recover {endpoint.id} --since {since}')}",
        "repair the receiver, then enable the webhook and recover what it has missed",
    )
