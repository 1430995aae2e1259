"""Signing in: with a key, or a name, a password and a code; what ends a session, and that nothing typed is lost."""

from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine

from smsgw import clock
from smsgw.core.accounts import crms, operators
from smsgw.core.messages import queueing
from smsgw.core.messages.drafts import Draft
from smsgw.http.context import EXTENSION
from smsgw.store.models import Message

from .conftest import Office, forms_of, text_of


def test_a_key_signs_in_and_the_cookie_is_kept_from_scripts_and_other_sites(office: Office):
    browser = office.browser()
    browser.get("/admin")
    assert browser.page.status_code == 303
    browser.get(browser.page.headers["Location"])
    answer = browser.post(
        "/admin/sign-in",
        {**browser.form("/admin/sign-in").fields, "secret": office.keys["operator"]},
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/start")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert office.keys["operator"] not in cookie
    assert browser.get("/admin/overview").status_code == 200


def test_after_signing_in_comes_the_page_that_was_asked_for(office: Office):
    browser = office.browser()
    browser.get("/admin/nowhere?x=1")
    browser.get(browser.page.headers["Location"])
    fields = browser.form("/admin/sign-in").fields
    answer = browser.post("/admin/sign-in", {**fields, "secret": office.keys["operator"]})
    assert answer.headers["Location"] == "/admin/nowhere?x=1"


@pytest.mark.parametrize(
    "next_page", ["https://evil.example", "//evil.example/admin", "/administrator", "javascript:1"]
)
def test_nobody_is_led_to_another_site_after_signing_in(office: Office, next_page):
    browser = office.browser()
    browser.get("/admin/sign-in", query_string={"next": next_page})
    fields = browser.form("/admin/sign-in").fields
    answer = browser.post("/admin/sign-in", {**fields, "secret": office.keys["operator"]})
    assert answer.headers["Location"] in ("/admin", "/admin/start")


def test_a_wrong_key_is_refused_with_a_sentence_and_a_key_of_another_kind_is_named(office: Office):
    browser = office.browser()
    assert browser.sign_in("op_live_" + "0" * 64).status_code == 401
    assert "This is not a key of ours." in text_of(browser.page)
    assert "Is it a password? Then type your name too." in browser.sign_in("my password").text
    assert browser.sign_in(office.world.crm_key).status_code == 401
    assert "This is a CRM&#39;s key" in text_of(browser.page)


def test_a_form_from_another_site_is_refused(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/overview")
    fields = browser.form("/admin/sign-out").fields
    for site in ("cross-site", "same-site"):
        answer = browser.post("/admin/sign-out", fields, {"Sec-Fetch-Site": site})
        assert answer.status_code == 403
    wrong = browser.post("/admin/sign-out", {"csrf_token": "wrong"})
    assert wrong.status_code == 400
    assert browser.get("/admin/overview").status_code == 200


def test_a_link_from_another_site_leads_over_a_page_of_ours(office: Office):
    """The browser sends no cookie along with it: SameSite=Strict."""
    answer = office.browser("operator").get("/admin/x?y=1", {"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'content="0; url=/admin/x?y=1"' in answer.text


def test_signing_out_ends_the_session_and_not_only_the_cookie(office: Office):
    browser = office.browser("operator")
    browser.get("/admin/overview")
    cookie = browser.cookie
    browser.send("/admin/sign-out")
    browser.cookie = cookie
    assert browser.get("/admin/overview").status_code == 303


def test_a_session_ends_after_twelve_hours_without_use_and_asking_for_news_is_none(office: Office):
    start = clock.now()
    with time_machine.travel(start) as traveller:
        used, open_tab = office.browser("operator"), office.browser("operator")
        for _ in range(3):
            traveller.shift(timedelta(hours=5))
            assert used.get("/admin/overview").status_code == 200
            open_tab.get("/admin", query_string={"seen": "x"})
        answer = open_tab.get(
            "/admin",
            {"HX-Request": "true", "HX-Current-URL": "http://localhost/admin"},
            query_string={"seen": "x"},
        )
        assert (answer.status_code, answer.headers["HX-Retarget"]) == (401, "#notice")
        traveller.shift(timedelta(hours=12, seconds=1))
        assert used.get("/admin/overview").status_code == 303


def test_who_is_reset_or_removed_is_signed_out_at_once(office: Office):
    viewer, clerk = office.browser("viewer"), office.browser("clerk")
    with office.world.database.transaction() as session:
        key = operators.reset(session, operators.get(session, "viewer"))
        operators.remove(session, "clerk")
    assert viewer.get("/admin/overview").status_code == 303
    assert clerk.get("/admin/overview").status_code == 303
    assert viewer.sign_in(office.keys["viewer"]).status_code == 401
    assert viewer.sign_in(key).status_code == 200


def test_pages_have_all_headers(office: Office):
    browser = office.browser()
    for page in (browser.get("/admin/sign-in"), office.browser("viewer").get("/admin/nowhere")):
        policy = page.headers["Content-Security-Policy"]
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "same-origin"


def test_an_expired_session_in_the_middle_of_a_form_loses_nothing_that_was_typed(office: Office):
    start = clock.now()
    with time_machine.travel(start) as traveller:
        browser = office.browser("operator")
        browser.get("/admin/people")
        fields = {
            **browser.form("/admin/people/add").fields,
            "name": 'Zoë "Z" <b>',
            "role": "clerk",
        }
        traveller.shift(timedelta(hours=13))
        assert browser.post("/admin/people/add", fields).status_code == 401
        browser.send("/admin/sign-in", secret=office.keys["operator"])
        form = browser.form("/admin/people/add")
        assert (form.fields["name"], form.fields["role"]) == ('Zoë "Z" <b>', "clerk")
        assert "Zoë &#34;Z&#34; &lt;b&gt;" in browser.send("/admin/people/add").text


def test_what_a_stranger_sends_is_not_read(office: Office):
    browser = office.browser()
    answer = browser.post("/admin/people/add", {"name": "x" * 10_000})
    assert answer.status_code == 401
    assert "xxx" not in answer.text
    assert len(forms_of(answer)) == 1


def test_the_first_page_is_the_first_steps_until_an_sms_was_delivered(office: Office):
    assert office.browser().sign_in(office.keys["operator"]).request.path == "/admin/start"
    assert office.browser().sign_in(office.keys["viewer"]).request.path == "/admin/overview"
    clerk = office.browser()
    assert clerk.sign_in(office.keys["clerk"]).request.path == "/admin/conversations"
    assert clerk.get("/admin").headers["Location"] == "/admin/conversations"
    with office.world.database.transaction() as session:
        crm = crms.get(session, "clinic")
        draft = Draft(to="+12025550123", content="hi")
        (taken,) = queueing.queue_all(session, crm, office.world.settings, [draft], clock.now())
        session.get_one(Message, taken.message.id).status = "delivered"
    assert office.browser().sign_in(office.keys["operator"]).request.path == "/admin/overview"


def test_the_first_page_leads_an_operator_to_the_first_steps_and_traps_nobody(office: Office):
    browser = office.browser("operator")
    answer = browser.get("/admin")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/start")
    assert 'href="/admin/overview"' in browser.get("/admin/start").text
    assert browser.get("/admin/overview").status_code == 200
    assert office.browser("viewer").get("/admin").status_code == 200


def test_over_plain_http_a_server_of_https_says_where_to_sign_in(office: Office):
    services = office.world.app.extensions[EXTENSION]
    services.settings = replace(services.settings, public_url="https://sms.example.org")
    words = "You cannot sign in at this address"
    client = office.world.app.test_client()
    here = {"base_url": "http://192.168.1.5:8080"}
    page = client.get("/admin/sign-in", **here)
    assert words in page.text
    assert 'href="https://sms.example.org/admin"' in page.text
    stranger = office.world.app.test_client(use_cookies=False)
    page = stranger.post("/admin/sign-in", data={"secret": office.keys["operator"]}, **here)
    assert (page.status_code, words in page.text) == (401, True)
    there = {"base_url": "https://sms.example.org"}
    assert words not in client.get("/admin/sign-in", **there).text
    page = client.get("/admin/sign-in", headers={"Sec-Fetch-Site": "none"}, **here)
    assert words not in page.text
