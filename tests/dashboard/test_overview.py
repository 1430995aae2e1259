"""What the overview says of findings: in which order, with which words and button, for whom, and without a database."""

import re
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.messages import browsing, queueing
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import certificates, health
from smsgw.core.operations.finding import Finding
from smsgw.dashboard import certificate_watch, device_access, findings
from smsgw.http import refusals
from smsgw.store.db import Database
from smsgw.store.models import BrowserSession, Device, Message, QuarantinedItem

from .cheap import check_cheap
from .conftest import Office, text_of

_ADDRESS = re.compile(r'<a [^>]*href="([^"]*)"')


def _findings(office: Office, role: str = "operator") -> list[str]:
    """What each finding says, with the address of its button."""
    page = office.browser(role).get("/admin/overview")
    items = re.findall(r'<li class="finding.*?</li>', page.text, re.DOTALL)
    return [f"{_words(item)} -> {''.join(_ADDRESS.findall(item))}" for item in items]


def _words(item: str) -> str:
    return " ".join(re.sub("<[^>]*>", " ", item).split())


def _quarantine(office: Office) -> None:
    with office.world.database.transaction() as session:
        item = QuarantinedItem(
            device_id="phone-1", item_hash="h", reason="r", raw="{}", received_at=clock.now()
        )
        session.add(item)


def test_a_finding_names_no_command_where_a_button_leads_to_what_it_does(office: Office):
    _quarantine(office)
    (found,) = [text for text in _findings(office) if text.startswith("Quarantine")]
    assert "1 item that no one could read" in found
    assert "smsgw" not in found
    assert found.endswith("-> /admin/log/quarantine")


def test_a_finding_has_no_button_to_a_page_that_this_person_may_not_see(office: Office):
    _quarantine(office)
    (found,) = [text for text in _findings(office, "viewer") if text.startswith("Quarantine")]
    assert found.endswith("-> ")


def test_times_in_findings_are_shown_in_the_zone_of_the_viewer(office: Office):
    at = clock.now().replace(second=0, microsecond=0) - timedelta(minutes=40)
    with office.world.database.transaction() as session:
        session.execute(sa.update(Device).values(last_seen_at=at))
    page = office.browser("operator").get("/admin/overview")
    assert f'polled last at <time datetime="{at:%Y-%m-%dT%H:%M:%SZ}"' in page.text
    assert "40 minutes ago" in text_of(page)


def test_many_phones_with_a_problem_hide_no_other_finding(office: Office):
    for number in range(60):
        office.world.add_device(f"many-{number}")
    _quarantine(office)
    found = _findings(office)
    assert len([text for text in found if text.startswith("Device ")]) == 5
    assert "56 more devices have a problem. Show all -> /admin/devices" in found
    assert any(text.startswith("Quarantine") for text in found)


def test_a_phone_with_a_wrong_password_is_told_from_one_that_does_not_come(office: Office):
    client, wrong = office.world.client, office.world.as_device(password="wrong")
    client.get("/api/sms", headers=wrong)
    found = [
        text for text in _findings(office) if text.startswith("Device phone-1 has been refused")
    ]
    assert len(found) == 1
    assert "127.0.0.1 uses its name with a wrong password" in found[0]
    with office.world.database.transaction() as session:
        session.execute(sa.update(Device).values(last_seen_at=clock.now()))
    assert not any("has been refused" in text for text in _findings(office))


def test_an_address_that_tries_many_passwords_is_a_finding_until_it_is_quiet(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    client = office.world.client
    for number in range(100):
        client.get("/api/sms", headers=office.world.as_device("nobody", f"guess-{number}"))
    (found,) = [text for text in _findings(office) if text.startswith("Logins")]
    assert "100 were refused from 127.0.0.1 since" in found
    assert found.endswith("-> /admin/log#refused")
    later = clock.now() + refusals.NEW_AFTER + timedelta(minutes=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert not any(text.startswith("Logins") for text in _findings(office))
    client.get("/api/sms", headers=office.world.as_device("nobody", "guess"))
    with office.world.app.app_context():
        assert [one.refused_count for one in refusals.recent()] == [1]


def test_a_setting_that_is_none_is_a_finding(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMSGW_PUBLC_URL", "https://sms.example.org")
    (found,) = [text for text in _findings(office) if text.startswith("Settings")]
    assert "SMSGW_PUBLC_URL is not a setting: did you mean SMSGW_PUBLIC_URL?" in found


def test_the_certificate_is_examined_beside_the_requests_and_not_at_each(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    finding, asked = Finding("certificate", "wrong", "it has expired", "renew it"), []

    def examine(*_: Any) -> list[Finding]:
        asked.append(time.monotonic())
        return [finding]

    monkeypatch.setattr(certificates, "findings", examine)
    settings = replace(office.world.settings, public_url="https://sms.example.org")
    assert certificate_watch.CertificateWatch().latest(office.world.settings) == []
    watch = certificate_watch.CertificateWatch()
    deadline = time.monotonic() + 30
    while watch.latest(settings) != [finding] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watch.latest(settings) == [finding]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("check", "is_seen"),
    [
        ("disk", True),
        ("devices", True),
        ("device mine", True),
        ("device other", False),
        *((check, False) for check in ("queue", "numbers", "crm shop", "bulk b", "webhook w")),
    ],
)
def test_a_clerk_of_some_crms_sees_no_finding_about_others(check: str, is_seen: bool):
    finding = Finding(check, "wrong", "is wrong")
    assert device_access.may_see(finding, {"mine"}) == is_seen
    assert device_access.may_see(finding, None)


def test_a_page_is_shown_where_the_database_takes_no_changes(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    browser = office.browser("operator")
    with office.world.database.transaction() as session:
        hour_ago = clock.now() - timedelta(hours=1)
        session.execute(sa.update(BrowserSession).values(last_seen_at=hour_ago))

    def refuse(*_: Any) -> None:
        cause = sqlite3.OperationalError("database or disk is full")
        raise sa.exc.OperationalError("UPDATE", {}, cause)

    monkeypatch.setattr(Database, "transaction", refuse)
    page = browser.get("/admin/overview")
    assert page.status_code == 200


def test_without_the_database_a_page_says_what_is_the_matter(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any) -> None:
        cause = sqlite3.OperationalError("database or disk is full")
        raise sa.exc.OperationalError("INSERT", {}, cause)

    full = Finding("disk", "wrong", "the disk of /secret/place is full", "free some space")
    monkeypatch.setattr(health, "examine", lambda *_: [full])
    browser = office.browser()
    browser.get("/admin/sign-in")
    monkeypatch.setattr(Database, "transaction", refuse)
    page = browser.send("/admin/sign-in", secret=office.keys["operator"])
    assert page.status_code == 503
    assert "The disk of the database is full: free some space." in text_of(page)
    assert "/secret/place" not in page.text


def test_the_button_of_stuck_messages_leads_to_them_alone_however_old_they_are(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(browsing, "SEARCHED_AT_ONCE", 1)
    now = clock.now()
    with office.world.database.transaction() as session:
        crm, first_id = crms.get(session, office.world.crm_id), ""
        for content in ("stands still", "moves", "moves too"):
            draft = Draft(to="+447700900123", content=content)
            message = queueing.queue_one(session, crm, office.world.settings, draft, now).message
            first_id = first_id or message.id
        stuck = {"status": "sending", "stuck_at": now - timedelta(hours=3)}
        session.execute(sa.update(Message).where(Message.id == first_id).values(stuck))
    (found,) = [text for text in _findings(office) if text.startswith("Stuck")]
    assert "1, which a phone has had for too long, the first of them stuck since" in found
    assert found.endswith("-> /admin/messages?stuck=yes")
    page = check_cheap(office, "/admin/messages?stuck=yes")
    assert "stands still" in page.text
    assert "moves" not in page.text


def test_a_worker_that_cannot_write_is_not_said_to_be_stopped(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    assert any(text.startswith("Worker") for text in _findings(office))
    full = Finding("disk", "wrong", "the disk is full", "free some space")
    monkeypatch.setattr(health, "examine", lambda *_: [full])
    office.world.app.extensions.pop(findings.EXTENSION)
    found = _findings(office)
    assert found[0].startswith("Disk")
    assert not any(text.startswith("Worker") for text in found)
