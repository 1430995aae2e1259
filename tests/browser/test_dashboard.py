"""The dashboard in a real browser: by keyboard, in both themes, wide and narrow, under its CSP."""

import json
import shlex
import subprocess
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from smsgw import clock
from smsgw.core.devices import presence
from smsgw.core.messages import quarantine
from smsgw.core.messages.quarantine import Unreadable
from smsgw.http.context import EXTENSION
from smsgw.store.models import Device, HourlyCount

from .conftest import Site

HOSTILE = "<script>alert(1)</script> \u202e reversed \u200b </pre> {{ 7 * 7 }} " + "x" * 500


def poll(site: Site, headers: dict[str, str], updates: Any = ()) -> list[dict[str, str]]:
    body = {"messages": [], "updates": list(updates)}
    return site.world.client.post("/api/sms", json=body, headers=headers).json["messages"]


def test_an_operator_signs_in_by_keyboard_alone(site: Site):
    page = site.open("/admin")
    page.keyboard.type(site.office.keys["operator"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="First steps").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.faults == []


def test_the_page_to_sign_in(site: Site):
    site.open("/admin/sign-in")
    site.look("sign-in")


def test_the_overview(site: Site):
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    with site.world.database.transaction() as session:
        for number in range(24):
            at = hour - timedelta(hours=number)
            session.add(HourlyCount(hour=at, sent=number % 7 * 9, failed=number % 4, received=9))
    page = site.open("/admin/overview", "operator")
    page.locator(".chart canvas").wait_for()
    site.look("overview")
    page.get_by_text("By the hour, as a table").click()
    site.look("overview-table")


def test_the_overview_shows_what_has_changed_without_a_reload(site: Site):
    page = site.open("/admin/overview", "operator")
    page.get_by_text("Device phone-1 has never polled.").wait_for()
    page.get_by_text("checks found nothing wrong").click()
    client, headers = site.world.client, site.world.as_device()
    client.post("/api/sms", json={"messages": [], "updates": []}, headers=headers)
    site.world.app.extensions[EXTENSION].last_seen_writer.write()
    with site.world.database.transaction() as session:
        presence.announce_changes(session, site.world.settings, clock.now())
    page.get_by_text("Device phone-1 has never polled.").wait_for(state="detached")
    # What somebody has opened stays open.
    assert page.get_by_text("at revision").is_visible()
    assert page.faults == []


def test_a_page_whose_news_do_not_come_says_from_when_it_is_until_they_come(site: Site):
    page = site.open("/admin/overview", "operator")
    heading, notice = page.title(), page.locator("#notice")
    for answer in (lambda route: route.abort(), lambda route: route.fulfill(status=503)):
        page.route("**/overview/news*", answer)
        page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        notice.get_by_text("The server does not answer. What this page shows is from").wait_for()
        assert page.title() == "✕ No answer · Overview · smsgw"
        assert page.locator("#overview").count() == 1
        page.unroute("**/overview/news*")
        page.evaluate("document.body.dispatchEvent(new Event('tick'))")
        notice.get_by_text("The server does not answer").wait_for(state="detached")
        assert page.title() == heading


def test_the_focus_stays_on_a_finding_when_others_come_before_it(site: Site):
    page = site.open("/admin/overview", "operator")
    button = page.locator("#finding-device-phone-1-1 a")
    button.focus()
    site.world.add_device("a-phone")
    with site.world.database.transaction() as session:
        session.execute(sa.update(Device).values(last_seen_at=clock.now() - timedelta(hours=1)))
    address = page.locator("#overview").get_attribute("hx-get").partition("seen=")[0]
    page.locator("#overview").evaluate(
        "(element, url) => element.setAttribute('hx-get', url)", address
    )
    page.evaluate("document.body.dispatchEvent(new Event('tick'))")
    page.locator("#finding-device-a-phone-1").wait_for()
    assert page.evaluate("document.activeElement.href").endswith("/admin/devices/phone-1")


def test_from_the_first_step_to_an_sms_that_is_delivered(site: Site):
    page = site.open("/admin/start", "operator")
    site.look("start")
    page.get_by_label("Name of the phone").fill("phone-2")
    page.get_by_role("button", name="Add and show its URL").click()
    url = page.locator(".secret pre").inner_text()
    name, secret = urlsplit(url).username, urlsplit(url).password
    site.look("start-added")
    headers = site.world.as_device(name, secret)
    poll(site, headers)
    page.get_by_text("phone-2, last").wait_for()
    page.get_by_label("To", exact=True).fill("not a number")
    page.get_by_role("button", name="Send the test").click()
    page.locator(".fault").wait_for()
    page.get_by_label("To", exact=True).fill("+12025550123")
    page.get_by_role("button", name="Send the test").click()
    page.get_by_text("Waiting since").wait_for()
    (sms,) = poll(site, headers)
    poll(
        site,
        headers,
        [
            {"id": sms["id"], "status": status}
            for status in ("UNSENT", "PENDING", "SENT", "DELIVERED")
        ],
    )
    page.get_by_text("This server works.").wait_for()
    site.look("start-delivered")


def test_a_crm_gets_a_command_that_works_here(site: Site):
    page = site.open("/admin/start", "operator")
    page.get_by_label("Name of the program").fill("till")
    page.get_by_role("button", name="Add and show its key").click()
    command = page.locator(".secret pre").nth(1).inner_text()
    done = subprocess.run([*shlex.split(command), "-s"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "queued"
    site.look("start-crm")


def test_the_log_and_what_nobody_could_read(site: Site):
    items = [Unreadable(HOSTILE, "no number"), Unreadable('{"id": 1}', "no content")]
    with site.world.database.transaction() as session:
        quarantine.keep(session, "phone-1", items, clock.now())
    site.world.client.get("/api/v1/crms", headers={"Authorization": "Bearer op_live_wrong"})
    page = site.open("/admin/log", "operator")
    site.look("log")
    page.get_by_role("link", name="What nobody could read").click()
    assert page.get_by_text(r"<script>alert(1)</script> \u202e reversed \u200b").is_visible()
    site.look("quarantine")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Remove what is ticked").click()
    page.get_by_text("1 items were removed.").wait_for()


def test_the_page_that_asks_for_the_key_again(site: Site):
    site.open("/admin/confirm?next=/admin/people", "operator")
    site.look("confirm")


def test_the_people(site: Site):
    page = site.open("/admin/people", "operator")
    site.look("people")
    page.get_by_label("Name", exact=True).fill("Zoë <b>")
    page.get_by_label("Clerk: also sends, reads and answers messages").check()
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("The key of Zoë <b>").wait_for()
    site.look("people-added")
    page.get_by_role("link", name="Zoë <b>").click()
    site.look("person")


def test_the_own_page(site: Site):
    site.open("/admin/me", "operator")
    site.look("me")


def test_pages_can_be_read_without_javascript(site: Site, browser):
    site.sign_in("viewer")
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies(site.page.context.cookies())
    page = context.new_page()
    page.goto(f"{site.url}/admin")
    page.get_by_role("heading", name="Overview").wait_for()
    context.close()
