"""What all pages share: cookies over HTTPS, errors, files, and that one page at a time is asked for."""

import sqlite3
from dataclasses import replace

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.messages import queueing
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import doctor

from ..conftest import application
from .conftest import Browser, Office, forms_of, text_of


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({"public_url": "https://sms.example.org"}, {}),
        ({"trusted_proxies": 1}, {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}),
    ],
)
def test_behind_https_the_cookie_is_for_this_host_and_https_alone(office: Office, changes, headers):
    with application(replace(office.world.settings, **changes)) as app:
        browser = Browser(replace(office.world, app=app))
        browser.get("/admin/sign-in", headers)
    cookie = browser.page.headers["Set-Cookie"]
    assert cookie.startswith("__Host-smsgw=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_a_page_that_is_not_there_says_so(office: Office):
    page = office.browser("viewer").get("/admin/nowhere")
    assert page.status_code == 404
    assert "There is no such page" in text_of(page)


def test_without_the_database_a_page_says_so_and_shows_no_error(office: Office, monkeypatch):
    browser = office.browser("operator")
    refused = sa.exc.OperationalError("SELECT secret", {}, sqlite3.OperationalError("disk"))

    def fail(*_args, **_more):
        raise refused

    monkeypatch.setattr(doctor, "of_work", fail)
    page = browser.get("/admin/overview")
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    assert "The database is unavailable." in text_of(page)
    assert "secret" not in page.text


def test_a_fault_of_ours_is_logged_and_shows_nothing_of_itself(office: Office, monkeypatch):
    browser = office.browser("operator")

    def fail(*_args, **_more):
        raise RuntimeError("planted")

    monkeypatch.setattr(doctor, "of_work", fail)
    page = browser.get("/admin/overview")
    assert page.status_code == 500
    assert "planted" not in page.text


def test_files_may_be_kept_for_a_year_and_pages_not_at_all(office: Office):
    browser = office.browser()
    page = browser.get("/admin/sign-in")
    url = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = browser.get(url)
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert browser.get("/admin/static/../site.py").status_code in (303, 404)
    assert browser.get("/admin/static/..%2Fsite.py").status_code == 404


def test_a_form_of_half_a_mebibyte_is_the_most(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/people")
    fields = browser.form("/admin/people/add").fields
    answer = browser.post("/admin/people/add", {**fields, "name": "x" * 600_000})
    assert answer.status_code == 413


def test_a_request_of_htmx_without_a_session_leads_the_whole_page_to_sign_in(office: Office):
    headers = {"HX-Request": "true", "HX-Current-URL": "http://localhost/admin/people?x=1"}
    answer = office.browser().get("/admin/overview/news", headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/admin/sign-in?next=/admin/people?x%3D1"


def test_a_viewer_sees_no_whole_number_in_what_is_wrong(office: Office):
    with office.world.database.transaction() as session:
        crm = crms.get(session, "clinic")
        drafts = [Draft(to=number, content="hi") for number in ("+12025550123", "12025550123")]
        queueing.queue_all(session, crm, office.world.settings, drafts, clock.now())
    assert "+12025550123" in office.browser("operator").get("/admin/overview").text
    assert "2025550123" not in office.browser("viewer").get("/admin/overview").text


def test_the_forms_in_news_of_the_first_steps_belong_to_the_page_that_is_open(office: Office):
    browser = office.browser("operator")
    page = browser.get("/admin/start/news?seen=nothing")
    assert {form.fields["_page"] for form in forms_of(page)} == {"/admin/start"}
    browser.get("/admin/start")
    page = browser.send("/admin/start/device", device_id="no such name")
    assert (page.status_code, "no such name" in page.text) == (422, True)
    assert "hx-get" not in page.text
