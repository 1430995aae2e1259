"""Passwords and codes of people, and the secret that is asked for again before what cannot be undone."""

from datetime import timedelta

import pyotp
import pytest
import time_machine

from smsgw import clock

from .conftest import Browser, Office, text_of

PASSWORD = "correct horse battery"


def set_password(office: Office, role: str = "operator") -> Browser:
    browser = office.browser(role)
    browser.get("/admin/me")
    browser.send("/admin/me/password", new_password=PASSWORD, repeated=PASSWORD)
    assert "Your password is set." in text_of(browser.page)
    return browser


def test_a_name_and_a_password_sign_in_and_the_key_still_does(office: Office):
    set_password(office)
    by_password, by_key = office.browser(), office.browser()
    assert by_password.sign_in(PASSWORD, name="operator").status_code == 200
    assert "First steps" in text_of(by_password.page)
    assert by_key.sign_in(office.keys["operator"]).status_code == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("operator", "wrong horse battery"),
        ("nobody", PASSWORD),
        ("clerk", PASSWORD),
        ("operator", ""),
        ("opera\0tor", PASSWORD),
        ("operator", "x" * 5000),
        ("operator", "\ud800" * 12),
    ],
)
def test_what_was_wrong_is_not_said(office: Office, name, password):
    set_password(office)
    browser = office.browser()
    browser.get("/admin/sign-in")
    fields = {**browser.form("/admin/sign-in").fields, "name": name}
    answer = browser.post(
        "/admin/sign-in", {**fields, "secret": password.encode("utf-8", "replace")}
    )
    assert answer.status_code == 401
    assert "Wrong name, password or code." in text_of(answer)


@pytest.mark.parametrize(
    ("typed", "repeated", "fault"),
    [
        ("short", "short", "Must have 12 to 200 characters."),
        (PASSWORD, PASSWORD + "x", "The two passwords differ."),
        ("x" * 201, "x" * 201, "Must have 12 to 200 characters."),
    ],
)
def test_a_password_that_is_too_short_or_mistyped_is_refused_beside_the_field(
    office: Office, typed, repeated, fault
):
    browser = office.browser("viewer")
    browser.get("/admin/me")
    page = browser.send("/admin/me/password", new_password=typed, repeated=repeated)
    assert page.status_code == 422
    assert fault in text_of(page)
    assert typed not in page.text


def test_codes_are_asked_for_once_they_are_set_up_and_each_is_taken_once(office: Office):
    with time_machine.travel(clock.now(), tick=False) as traveller:
        browser = set_password(office)
        secret = browser.form("/admin/me/codes").fields["totp_secret"]
        browser.send("/admin/me/codes", code="000000")
        assert "Wrong code." in text_of(browser.page)
        assert browser.form("/admin/me/codes").fields["totp_secret"] == secret
        codes = pyotp.TOTP(secret)
        browser.send("/admin/me/codes", code=codes.at(clock.now()))
        assert "From now on a code is asked for" in text_of(browser.page)
        other = office.browser()
        assert other.sign_in(PASSWORD, name="operator").status_code == 401
        assert (
            other.sign_in(PASSWORD, name="operator", code=codes.at(clock.now())).status_code == 401
        )
        traveller.shift(timedelta(seconds=30))
        code = codes.at(clock.now())
        assert other.sign_in(PASSWORD, name="operator", code=code).status_code == 200
        again = office.browser()
        assert again.sign_in(PASSWORD, name="operator", code=code).status_code == 401


def test_guesses_of_a_password_are_slowed_and_the_key_is_let_in_at_once(office: Office):
    set_password(office)
    attacker = office.browser()
    answers = [attacker.sign_in("guess of a password", name="operator") for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert attacker.sign_in(PASSWORD, name="operator").status_code == 429
    assert "or use the key" in text_of(attacker.page)
    assert office.browser().sign_in(office.keys["operator"]).status_code == 200


def test_before_a_key_is_made_the_secret_is_asked_for_again_and_the_form_goes_on_by_itself(
    office: Office,
):
    with time_machine.travel(clock.now()) as traveller:
        browser = set_password(office)
        traveller.shift(timedelta(minutes=16))
        browser.get("/admin/people")
        browser.send("/admin/people/add", name="Ann", role="viewer")
        assert "To add a person, type your key again" in text_of(browser.page)
        browser.send("/admin/confirm", secret="wrong")
        assert "That is not your key" in text_of(browser.page)
        page = browser.send("/admin/confirm", secret=PASSWORD)
        assert "The key of Ann" in text_of(page)
        assert "op_live_" in page.text
        browser.get("/admin/people")
        assert "The key of Bea" in text_of(
            browser.send("/admin/people/add", name="Bea", role="viewer")
        )


def test_the_key_of_somebody_else_confirms_nothing(office: Office):
    with time_machine.travel(clock.now()) as traveller:
        browser = office.browser("operator")
        traveller.shift(timedelta(minutes=16))
        browser.get("/admin/people")
        browser.send("/admin/people/add", name="Ann", role="viewer")
        assert browser.send("/admin/confirm", secret=office.keys["clerk"]).status_code == 401


def test_a_new_password_ends_the_sessions_in_other_browsers(office: Office):
    elsewhere = office.browser("viewer")
    here = set_password(office, "viewer")
    assert elsewhere.get("/admin/overview").status_code == 303
    assert here.get("/admin/overview").status_code == 200
