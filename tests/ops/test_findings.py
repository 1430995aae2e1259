"""What checks find about phones that are silent together, failing receivers and what waits, and since when."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.messages import bulks, endings, pausing, queueing
from smsgw.core.messages.bulks import NewBulk
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import doctor
from smsgw.core.operations.finding import Finding
from smsgw.core.webhooks import endpoints, urls
from smsgw.store.models import Device, Message, WebhookEndpoint
from tests.conftest import World


def _found(world: World, check: str) -> list[Finding]:
    found = doctor.examine(world.database, world.settings, clock.now())
    return [one for one in found if one.check == check and one.state != "ok"]


def _change(world: World, table: type[Any], **values: Any) -> None:
    with world.database.transaction() as session:
        session.execute(sa.update(table).values(values))


def _queue(world: World, count: int, crm_id: str, at: datetime) -> list[str]:
    with world.database.transaction() as session:
        crm = crms.get(session, crm_id)
        drafts = [Draft(to=f"+4477009{number:05}", content="Hello") for number in range(count)]
        return [
            queueing.queue_one(session, crm, world.settings, draft, at).message.id
            for draft in drafts
        ]


def test_phones_that_are_silent_all_at_once_are_one_finding_with_the_time_of_the_last(world: World):
    world.add_device("phone-2")
    last = clock.now() - timedelta(minutes=40)
    _change(world, Device, last_seen_at=last)
    (found,) = _found(world, "devices")
    assert found.state == "wrong"
    assert (
        f"none of 2 phones has come since {last:%Y-%m-%d %H:%M} UTC, 40 minutes ago" in found.text
    )
    assert f"{world.settings.base_url}/healthz" in found.advice


def test_rows_from_the_future_lead_to_the_clock_that_is_wrong(world: World):
    in_five_minutes = clock.now() + timedelta(minutes=5, seconds=30)
    _queue(world, 1, world.crm_id, in_five_minutes)
    (found,) = _found(world, "clock")
    assert found.text == "the database has rows from 5 minutes in the future"
    elsewhere = world.database.url.get_backend_name() == "postgresql"
    assert ("another machine's clock" if elsewhere else "this machine's clock") in found.advice


def test_while_one_phone_comes_or_there_is_one_alone_the_server_is_not_blamed(world: World):
    _change(world, Device, last_seen_at=clock.now() - timedelta(hours=1))
    assert _found(world, "devices") == []
    world.add_device("phone-2")
    _change(world, Device, last_seen_at=clock.now())
    assert _found(world, "devices") == []


def test_a_receiver_that_fails_for_minutes_is_found_with_what_waits_and_until_it_works(
    world: World,
):
    now = clock.now()
    with world.database.transaction() as session:
        crm = crms.get(session, world.crm_id)
        url = urls.Checked("https://user:secret@crm.example.org:8443/hook?token=t")
        endpoint, _ = endpoints.add(session, crm, url, most=5, now=now)
        endpoint_id = endpoint.id
    (message_id,) = _queue(world, 1, world.crm_id, now)
    with world.database.transaction() as session:
        endings.cancel(session, session.get_one(Message, message_id), now)
    check = f"webhook {endpoint_id}"
    _change(world, WebhookEndpoint, failing_since=now - timedelta(minutes=1))
    assert _found(world, check) == []
    _change(world, WebhookEndpoint, failing_since=now - timedelta(hours=2))
    (found,) = _found(world, check)
    assert "has failed since" in found.text
    assert "2 hours ago, and 1 event waits for crm.example.org:8443" in found.text
    assert "secret" not in found.text
    assert "token" not in found.text
    _change(world, WebhookEndpoint, failing_since=None)
    assert _found(world, check) == []


def test_more_than_the_phones_send_in_an_hour_is_found_with_the_crm_that_queued_it(world: World):
    now = clock.now()
    other, _ = world.add_crm("shop")
    _change(world, Device, last_seen_at=now, segments_per_minute=1)
    _queue(world, 30, world.crm_id, now)
    _queue(world, 1, other, now)
    assert _found(world, "queue") == []
    _queue(world, 90, world.crm_id, now)
    (found,) = _found(world, "queue")
    assert found.text.startswith("121 messages should be sent now")
    assert "need at least 2 hours. 120 of them are from CRM clinic" in found.text


def test_what_waits_for_long_is_found_with_the_time_of_the_first(world: World):
    since = clock.now() - timedelta(minutes=30)
    _queue(world, 1, world.crm_id, since)
    (found,) = _found(world, "queue")
    assert f"1 message should be sent now, the first since {since:%Y-%m-%d %H:%M} UTC" in found.text
    assert "no phone is online" in found.text
    assert "CRM" not in found.text


def test_a_bulk_that_was_paused_and_forgotten_is_found_until_it_is_resumed(world: World):
    now = clock.now()
    message_ids = _queue(world, 2, world.crm_id, now)
    new = NewBulk("blk_1", world.crm_id, "Autumn", "anna", None, 2, 2, now)
    with world.database.transaction() as session:
        bulks.begin(session, new)
        bulks.add_rows(session, new.id, 0, message_ids)
        bulk = bulks.get(session, None, new.id)
        pausing.pause(session, bulk, "anna", now - timedelta(days=1))
        pausing.move(session, new.id, now)
    (found,) = _found(world, "bulk blk_1")
    assert "“Autumn” was paused by anna at" in found.text
    assert "24 hours ago, and 2 messages of it wait" in found.text
    with world.database.transaction() as session:
        pausing.resume(session, bulks.get(session, None, new.id))
        pausing.move(session, new.id, now)
    assert _found(world, "bulk blk_1") == []
