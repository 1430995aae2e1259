"""Decides what an attempt means for its delivery and its endpoint: retry, pause, disable, recover."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...brokers import is_broker
from ...store.models import Attempt, Delivery, WebhookEndpoint
from . import delivery_statuses, endpoints
from .retries import (
    FAILURES_TO_OPEN,
    GONE,
    LONGEST_PAUSE,
    AttemptResult,
    delay_seconds,
    holds_up,
    pause,
)

DISABLED_AFTER = timedelta(days=5)
DISABLED_AFTER_EVENTS = 10
CATCH_UP_AT_ONCE = 10


@dataclass(frozen=True)
class RetryRule:
    """The retry schedule in seconds, and where its jitter comes from (`chance()` is between 0 and 1)."""

    schedule: Sequence[float]
    chance: Callable[[], float]


def follow(
    session: Session, delivery_id: str, result: AttemptResult, rule: RetryRule, now: datetime
) -> None:
    """Change the delivery and its endpoint by the outcome of an attempt. Both rows must be locked."""
    delivery = session.get_one(Delivery, delivery_id)
    endpoint = session.get_one(WebhookEndpoint, delivery.endpoint_id)
    delivery.attempt_count += 1
    delivery.claim = None
    delivery.is_manual = False
    if result.is_success:
        _succeeded(session, delivery, endpoint, now)
    else:
        _failed(session, delivery, endpoint, result, rule, now)


def _succeeded(
    session: Session, delivery: Delivery, endpoint: WebhookEndpoint, now: datetime
) -> None:
    _end(delivery, delivery_statuses.DELIVERED, now)
    has_recovered = endpoint.consecutive_failures >= FAILURES_TO_OPEN
    endpoints.forget_failures(session, endpoint)
    endpoint.last_success_at = now
    session.flush()
    if has_recovered:
        _catch_up(session, endpoint, CATCH_UP_AT_ONCE, now)
    elif delivery.attempt_count > 1:
        _catch_up(session, endpoint, 1, now)


def _catch_up(session: Session, endpoint: WebhookEndpoint, most: int, now: datetime) -> None:
    """Make the endpoint's next retries due now: ten when it has recovered, then one more for each success.

    So the receiver sets the pace itself. An attempt that is brought forward does not count as a step of the schedule,
    because an endpoint that flaps would use up three days of retries in minutes.
    """
    waiting = (
        sa.select(Delivery.id)
        .where(
            Delivery.endpoint_id == endpoint.id,
            delivery_statuses.IS_PENDING,
            Delivery.next_attempt_at > now,
            Delivery.claim.is_(None),
            Delivery.retry_step > 0,
        )
        .order_by(Delivery.next_attempt_at)
        .limit(most)
    )
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id.in_(waiting.scalar_subquery()))
        .values(next_attempt_at=now, retry_step=Delivery.retry_step - 1),
        execution_options={"synchronize_session": False},
    )


def _failed(
    session: Session,
    delivery: Delivery,
    endpoint: WebhookEndpoint,
    result: AttemptResult,
    rule: RetryRule,
    now: datetime,
) -> None:
    is_ordered = is_broker(endpoint.url) and delivery.retry_step is not None
    if is_ordered and holds_up(result, delivery.attempt_count):
        _note_failure(endpoint, delivery, result, now)
        _hold_up(endpoint, delivery, result, rule, now)
    else:
        _retry_or_end(session, delivery, result, rule, now)
        _note_failure(endpoint, delivery, result, now)
    if not endpoint.enabled:
        return
    if result.status_code == GONE:
        reason = "the receiver answered 410 Gone"
        endpoints.disable_and_announce(session, endpoint, reason, now)
    elif _is_given_up(endpoint, now):
        reason = f"nothing was delivered for {DISABLED_AFTER.days} days"
        endpoints.disable_and_announce(session, endpoint, reason, now)


def _hold_up(
    endpoint: WebhookEndpoint,
    delivery: Delivery,
    result: AttemptResult,
    rule: RetryRule,
    now: datetime,
) -> None:
    """Make an endpoint that keeps the order wait for its first event, which keeps its place and its three days.

    The pauses are the steps of the schedule, but at most `LONGEST_PAUSE`.
    """
    step = min((delivery.retry_step or 0) + 1, len(rule.schedule) - 1)
    delay = delay_seconds(rule.schedule, step, result, rule.chance()) or 0.0
    endpoint.paused_until = now + min(timedelta(seconds=delay), LONGEST_PAUSE)
    if now - delivery.created_at >= timedelta(seconds=sum(rule.schedule)):
        _end(delivery, delivery_statuses.DISCARDED, now)
        return
    delivery.retry_step = step
    delivery.next_attempt_at = delivery.created_at


def _retry_or_end(
    session: Session, delivery: Delivery, result: AttemptResult, rule: RetryRule, now: datetime
) -> None:
    if delivery.retry_step is None:
        _end_single(session, delivery, now)
        return
    delay = delay_seconds(rule.schedule, delivery.retry_step + 1, result, rule.chance())
    if delay is None:
        _end(delivery, delivery_statuses.DISCARDED, now)
        return
    delivery.retry_step += 1
    delivery.next_attempt_at = now + timedelta(seconds=delay)


def _end_single(session: Session, delivery: Delivery, now: datetime) -> None:
    """End a replay that failed: a delivery that the receiver once accepted stays delivered."""
    was_taken = session.scalar(
        sa.select(
            sa.exists().where(
                Attempt.delivery_id == delivery.id, Attempt.status_code.between(200, 299)
            )
        )
    )
    if not was_taken:
        _end(delivery, delivery_statuses.DISCARDED, now)
        return
    delivery.status = delivery_statuses.DELIVERED
    delivery.next_attempt_at = None


def _end(delivery: Delivery, status: str, now: datetime) -> None:
    delivery.status = status
    delivery.settled_at = now
    delivery.next_attempt_at = None


def _note_failure(
    endpoint: WebhookEndpoint, delivery: Delivery, result: AttemptResult, now: datetime
) -> None:
    endpoint.has_timed_out = result.has_timed_out
    endpoint.failing_since = endpoint.failing_since or now
    if delivery.attempt_count == 1:
        endpoint.failing_event_count += 1
    if endpoint.paused_until is not None and endpoint.paused_until > now:
        # This attempt began before the pause, so it must not lengthen it.
        return
    endpoint.consecutive_failures += 1
    length = pause(endpoint.consecutive_failures)
    endpoint.paused_until = None if length is None else now + length


def _is_given_up(endpoint: WebhookEndpoint, now: datetime) -> bool:
    return (
        endpoint.failing_since is not None
        and now - endpoint.failing_since >= DISABLED_AFTER
        and endpoint.failing_event_count >= DISABLED_AFTER_EVENTS
    )
