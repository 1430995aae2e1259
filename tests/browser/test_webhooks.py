"""The pages about webhooks in a real browser."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest

from smsgw import clock
from smsgw.core.webhooks import claiming, deliveries, endpoints, settling
from smsgw.core.webhooks.due import FreeThreads
from smsgw.core.webhooks.outcomes import RetryRule
from smsgw.core.webhooks.retries import AttemptResult
from smsgw.core.webhooks.settling import Finished
from smsgw.http.context import EXTENSION

from .conftest import Site


@pytest.fixture
def filled(site: Site) -> Site:
    """A site with a webhook that fails, and with a way to add more."""
    services = site.world.app.extensions[EXTENSION]
    networks = (ip_network("127.0.0.0/8"),)
    services.settings = replace(services.settings, webhook_allowed_networks=networks)
    body = {"url": "http://127.0.0.1:9/a-receiver-with-a-long-path/of-a-customer/hook"}
    client, headers = site.world.client, site.world.as_crm()
    assert client.post("/api/v1/webhooks", json=body, headers=headers).status_code == 201
    message = {"to": "+4915112345670", "content": "Grüße \u202egnp <b>bold</b>"}
    assert client.post("/api/v1/messages", json=message, headers=headers).status_code == 202
    assert client.post("/api/sms", json={}, headers=site.world.as_device()).status_code == 200
    now = clock.now()
    result = AttemptResult(
        started_at=now, duration_seconds=0.1, status_code=401, response_text="<b>no</b>" * 100
    )
    with site.world.database.transaction() as session:
        claimed = claiming.take(session, FreeThreads(9, 9), now + timedelta(minutes=1), now)
        ended = [Finished(one.endpoint_id, one.delivery_id, one.claim, result) for one in claimed]
        settling.settle(session, ended, RetryRule((0, 3600), lambda: 0.5), now)
    return site


def test_a_list_without_webhooks(site: Site):
    site.open("/admin/webhooks", "operator")
    site.look("webhooks-empty")


def test_a_webhook_is_added_and_its_secret_shown(filled: Site):
    page = filled.open("/admin/webhooks", "operator")
    page.get_by_label("URL").fill("http://127.0.0.1:9/other")
    page.get_by_text("Some events only").click()
    page.get_by_label("message.received").check()
    page.get_by_role("button", name="Add and show its secret").click()
    page.get_by_text("The signing secret for").wait_for()
    filled.look("webhooks")


def test_a_webhook_that_fails_is_looked_into(filled: Site):
    page = filled.open("/admin/webhooks", "operator")
    page.locator("tbody a").first.click()
    page.get_by_text("Failing since").wait_for()
    for name, value in (("id", "evt_1"), ("timestamp", "1"), ("signature", "v1,AAAA")):
        page.get_by_label(f"webhook-{name}").fill(value)
    page.get_by_label("Body").fill("{}")
    page.get_by_role("button", name="Check", exact=True).click()
    page.get_by_text("The signature is wrong").wait_for()
    filled.look("webhook")
    page.get_by_role("link", name="What was sent and answered").click()
    page.get_by_role("heading", name="Headers").wait_for()
    filled.look("delivery")


def test_a_delivery_that_waits_shows_its_answer_without_reloading(filled: Site):
    with filled.world.database.transaction() as session:
        endpoint = endpoints.everyone(session)[0]
        delivery_id = deliveries.ping(session, endpoint, clock.now())
    page = filled.open(f"/admin/deliveries/{delivery_id}", "viewer")
    page.get_by_text("Not sent yet").wait_for()
    now = clock.now()
    result = AttemptResult(started_at=now, duration_seconds=0.1, status_code=204)
    with filled.world.database.transaction() as session:
        claimed = claiming.take(session, FreeThreads(9, 9), now + timedelta(minutes=1), now)
        ended = [Finished(one.endpoint_id, one.delivery_id, one.claim, result) for one in claimed]
        settling.settle(session, ended, RetryRule((0, 3600), lambda: 0.5), now)
    page.get_by_text("Delivered at").wait_for()
    assert page.faults == []
