"""A delivery_world whose clock the test holds: each round claims, sends and settles what is due at that moment."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from queue import SimpleQueue
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw.addresses import Guard
from smsgw.core.accounts import crms, enrolment
from smsgw.core.events import recording
from smsgw.core.webhooks import claiming, deliveries, endpoints, settling, urls
from smsgw.core.webhooks.claiming import Claimed
from smsgw.core.webhooks.due import FreeThreads
from smsgw.core.webhooks.outcomes import RetryRule
from smsgw.core.webhooks.retries import AttemptResult
from smsgw.core.webhooks.settling import Finished
from smsgw.delivery import attempts
from smsgw.delivery.attempts import Carriers, Unsent
from smsgw.settings import Settings
from smsgw.store.db import Database
from smsgw.store.models import Delivery, Event, WebhookEndpoint
from tests.conftest import NOW

LOOPBACK = (ip_network("127.0.0.0/8"),)
LEASE = timedelta(seconds=60)
# Nobody listens there: for tests that settle without sending.
NOWHERE = "http://127.0.0.1:9/hook"


class DeliveryWorld:
    """One CRM with endpoints, and the three steps of a delivery, with `now` handed in and no jitter."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = replace(
            settings, webhook_allowed_networks=LOOPBACK, webhook_timeout_seconds=5.0
        )
        self.database = database
        self.guard = Guard(LOOPBACK)
        self.carriers = Carriers(self.guard)
        self.rule = RetryRule(settings.webhook_retry_schedule, lambda: 0.5)
        with database.transaction() as session:
            enrolment.add_with_password(session, "phone-1", None, None, NOW)
            enrolment.add_with_password(session, "phone-2", None, None, NOW)
            self.crm_id = crms.add(session, "clinic", None, NOW)[0].id

    def add_endpoint(self, url: str = NOWHERE, now: datetime = NOW, **wanted: Any) -> str:
        """Makes an endpoint and returns its id."""
        return self.add_endpoint_with_secret(url, now, **wanted)[0]

    def add_endpoint_with_secret(
        self, url: str = NOWHERE, now: datetime = NOW, **wanted: Any
    ) -> tuple[str, str]:
        """Makes an endpoint and returns its id and secret."""
        checked = urls.checked(url, self.guard.allowed)
        options = {"event_types": None, "device_ids": None, "enabled": True, **wanted}
        with self.database.transaction() as session:
            crm = crms.get(session, self.crm_id)
            endpoint, secret = endpoints.add(session, crm, checked, most=100, now=now, **options)
            return endpoint.id, secret

    def record(
        self,
        count: int = 1,
        event_type: str = "message.received",
        device_id: str | None = "phone-1",
        now: datetime = NOW,
    ) -> list[str]:
        """Records so many events and returns their ids."""
        events = [
            recording.NewEvent(event_type, self.crm_id, {"content": f"Grüße {n} ✓"}, device_id)
            for n in range(count)
        ]
        with self.database.transaction() as session:
            return recording.record(session, events, now)

    def take(self, now: datetime = NOW, threads: int = 16, slow_threads: int = 4) -> list[Claimed]:
        """Claims what is due."""
        with self.database.transaction() as session:
            return claiming.take(session, FreeThreads(threads, slow_threads), now + LEASE, now)

    def settle(self, claimed: Claimed, now: datetime = NOW, **result: Any) -> bool:
        """Writes down an outcome: `status_code=…` or `error=…`."""
        outcome = AttemptResult(started_at=now, duration_seconds=0.1, **result)
        return self._settle(claimed, outcome, now)

    def fail_all(self, now: datetime = NOW, **result: Any) -> int:
        """One round in which each attempt fails (with 500 unless told otherwise); returns how many there were."""
        taken = self.take(now)
        for claimed in taken:
            self.settle(claimed, now, **(result or {"status_code": 500}))
        return len(taken)

    def round(self, now: datetime = NOW, threads: int = 16) -> int:
        """One round over the network; returns how many attempts were made."""
        taken = self.take(now, threads)
        for claimed in taken:
            seconds = self.settings.webhook_timeout_seconds
            results: SimpleQueue[AttemptResult | Unsent | None] = SimpleQueue()
            attempts.begin(claimed, self.carriers, seconds, now, results.put)
            result = results.get(timeout=seconds + 10)
            assert result is not None
            assert self._settle(claimed, result, now)
        return len(taken)

    def _settle(self, claimed: Claimed, result: AttemptResult | Unsent, now: datetime) -> bool:
        made = result if isinstance(result, AttemptResult) else None
        finished = Finished(claimed.endpoint_id, claimed.delivery_id, claimed.claim, made)
        with self.database.transaction() as session:
            return not settling.settle(session, [finished], self.rule, now)

    def endpoint(self, endpoint_id: str) -> WebhookEndpoint:
        with self.database.reading() as session:
            return endpoints.get(session, self.crm_id, endpoint_id)

    def deliveries(self, endpoint_id: str) -> list[Delivery]:
        """The endpoint's deliveries, oldest first."""
        with self.database.reading() as session:
            return list(
                session.scalars(
                    sa.select(Delivery)
                    .where(Delivery.endpoint_id == endpoint_id)
                    .order_by(Delivery.id)
                )
            )

    def delivery(self, endpoint_id: str) -> Delivery:
        """The endpoint's only delivery."""
        (delivery,) = self.deliveries(endpoint_id)
        return delivery

    def attempts(self, delivery: Delivery) -> list[dict[str, Any]]:
        """The delivery's attempts as REST shows them, oldest first."""
        with self.database.reading() as session:
            shape = deliveries.shape(session, deliveries.get(session, self.crm_id, delivery.id))
            return list(shape["attempts"])

    def body(self, event_id: str) -> bytes:
        """The event's bytes as they are stored."""
        with self.database.reading() as session:
            return session.scalars(sa.select(Event.body).where(Event.id == event_id)).one().encode()


@pytest.fixture
def delivery_world(settings: Settings, database: Database) -> Iterator[DeliveryWorld]:
    made = DeliveryWorld(settings, database)
    yield made
    made.carriers.close()
