"""Passkeys of people, signed by a pretend phone."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from smsgw import clock
from smsgw.core.accounts import operators, passkeys
from smsgw.settings import Settings

from .authenticator import Passkey
from .conftest import Browser, Office, text_of

ORIGIN = "https://localhost"
OPTIONS = {"sign in": "/admin/sign-in/passkey", "add": "/admin/me/passkey/options"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, public_url=ORIGIN)


def new_passkey() -> Passkey:
    return Passkey(ORIGIN, "localhost")


def options(browser: Browser, way: str) -> Any:
    page = browser.page
    token = browser.form("/admin/sign-out").fields["csrf_token"] if way == "add" else ""
    answer = browser.post(OPTIONS[way], {}, {"X-CSRFToken": token})
    assert answer.status_code == 200
    # A script asks for them: the page stays.
    browser.page = page
    return json.loads(answer.text)


def add(browser: Browser, passkey: Passkey, name: str = "laptop") -> Any:
    browser.get("/admin/me")
    made = passkey.create(options(browser, "add"))
    return browser.send("/admin/me/passkey", passkey=made, passkey_name=name)


def sign_in(office: Office, passkey: Passkey) -> Any:
    browser = office.browser()
    browser.get("/admin/sign-in")
    signed = passkey.get(options(browser, "sign in"))
    return browser.send("/admin/sign-in", passkey=signed)


def refused(page: Any) -> bool:
    return page.status_code == 401 and "This passkey is not known here" in text_of(page)


def test_a_passkey_signs_in_without_a_name_a_password_or_a_code(office: Office):
    passkey, clerk = new_passkey(), office.browser("clerk")
    page = add(clerk, passkey)
    assert "The passkey laptop is added." in text_of(page)
    assert "never" in text_of(page)
    signed_in = sign_in(office, passkey)
    assert signed_in.status_code == 200
    assert "clerk clerk" in text_of(signed_in)
    assert "never" not in text_of(clerk.get("/admin/me"))


def test_a_passkey_is_offered_only_at_the_https_address_with_a_name(office: Office):
    page = office.browser().get("/admin/sign-in")
    assert "Sign in with a passkey" in text_of(page)
    elsewhere = office.browser().get("/admin/sign-in", base_url="http://192.0.2.1:8000")
    assert "passkey" not in elsewhere.text


@pytest.mark.parametrize(
    ("origin", "rp_id"),
    [("https://evil.example", "localhost"), ("http://localhost", "localhost"), (ORIGIN, "evil")],
)
def test_what_was_signed_for_another_site_is_refused(office: Office, origin, rp_id):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    passkey.origin, passkey.rp_id = origin, rp_id
    assert refused(sign_in(office, passkey))
    made = Passkey(origin, rp_id)
    page = add(office.browser("viewer"), made)
    assert page.status_code == 422
    assert "was not made for this page" in text_of(page)


def test_a_challenge_is_accepted_once_even_with_the_cookie_of_before(office: Office):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    browser, thief = (Browser(office.world, "__Host-smsgw") for _ in range(2))
    browser.get("/admin/sign-in")
    signed = passkey.get(options(browser, "sign in"))
    thief.get("/admin/sign-in")
    thief.cookie = browser.cookie
    thief.get("/admin/sign-in")
    assert browser.send("/admin/sign-in", passkey=signed).status_code == 200
    assert refused(thief.send("/admin/sign-in", passkey=signed))


def test_a_challenge_of_another_browser_is_refused(office: Office):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    one, other = office.browser(), office.browser()
    for browser in (one, other):
        browser.get("/admin/sign-in")
        options(browser, "sign in")
    signed = passkey.get(options(one, "sign in"))
    assert refused(other.send("/admin/sign-in", passkey=signed))


def test_a_challenge_ends_after_five_minutes(office: Office):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    with time_machine.travel(clock.now()) as traveller:
        browser = office.browser()
        browser.get("/admin/sign-in")
        signed = passkey.get(options(browser, "sign in"))
        traveller.shift(timedelta(minutes=5))
        assert refused(browser.send("/admin/sign-in", passkey=signed))


def test_a_finger_a_face_or_a_pin_is_required(office: Office):
    passkey, clerk = new_passkey(), office.browser("clerk")
    clerk.get("/admin/me")
    made = passkey.create(options(clerk, "add"), is_verified=False)
    page = clerk.send("/admin/me/passkey", passkey=made, passkey_name="laptop")
    assert page.status_code == 422
    add(clerk, passkey)
    browser = office.browser()
    browser.get("/admin/sign-in")
    signed = passkey.get(options(browser, "sign in"), is_verified=False)
    assert refused(browser.send("/admin/sign-in", passkey=signed))


def test_a_copy_of_a_passkey_whose_count_is_behind_is_refused(office: Office):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    passkey.count = 7
    assert sign_in(office, passkey).status_code == 200
    assert refused(sign_in(office, passkey))
    passkey.count = 8
    assert sign_in(office, passkey).status_code == 200


def test_a_passkey_confirms_for_its_owner_alone(office: Office):
    own, others = new_passkey(), new_passkey()
    with time_machine.travel(clock.now()) as traveller:
        add(office.browser("clerk"), others)
        browser = office.browser("operator")
        add(browser, own)
        traveller.shift(timedelta(minutes=16))
        browser.get("/admin/people")
        browser.send("/admin/people/add", name="Ann", role="viewer")
        assert "Use a passkey" in text_of(browser.page)
        for passkey, outcome in [(others, "a passkey of somebody else"), (own, "The key of Ann")]:
            signed = passkey.get(options(browser, "sign in"))
            assert outcome in text_of(browser.send("/admin/confirm", passkey=signed))


def test_a_removed_passkey_signs_nobody_in_and_ends_the_other_sessions(office: Office):
    passkey, clerk, elsewhere = new_passkey(), office.browser("clerk"), office.browser("clerk")
    add(clerk, passkey)
    clerk.get("/admin/me")
    page = clerk.send("/admin/me/passkey/remove")
    assert "The passkey is removed" in text_of(page)
    assert refused(sign_in(office, passkey))
    assert elsewhere.get("/admin/overview").status_code == 303
    passkey_id = json.loads(passkey.get({"challenge": ""}))["id"]
    operator = office.browser("operator")
    add(operator, new_passkey())
    operator.get("/admin/me")
    assert operator.send("/admin/me/passkey/remove", id=passkey_id).status_code == 404


def test_nobody_removes_the_passkey_of_somebody_else(office: Office):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    operator = office.browser("operator")
    add(operator, new_passkey())
    operator.get("/admin/me")
    passkey_id = json.loads(passkey.get({"challenge": ""}))["id"]
    assert operator.send("/admin/me/passkey/remove", id=passkey_id).status_code == 404
    assert sign_in(office, passkey).status_code == 200


@pytest.mark.parametrize("is_reset", [True, False])
def test_a_person_who_is_reset_or_removed_has_no_passkeys(office: Office, is_reset):
    passkey = new_passkey()
    add(office.browser("clerk"), passkey)
    with office.world.database.transaction() as session:
        if is_reset:
            operators.reset(session, operators.get(session, "clerk"))
        else:
            operators.remove(session, "clerk")
    assert refused(sign_in(office, passkey))


def test_a_person_has_ten_passkeys_at_most_and_none_of_somebody_else(office: Office):
    clerk, one = office.browser("clerk"), new_passkey()
    add(clerk, one)
    for number in range(2, passkeys.MOST_OF_A_PERSON + 1):
        assert add(clerk, new_passkey(), f"number {number}").status_code == 200
    page = add(clerk, new_passkey(), "one more")
    assert page.status_code == 409
    assert "You have 10 passkeys" in text_of(page)
    assert "This passkey is there already." in text_of(add(office.browser("viewer"), one))


@pytest.mark.parametrize("name", ["", "x" * 51, "two\nlines"])
def test_a_name_of_a_passkey_is_short_and_printable(office: Office, name):
    page = add(office.browser("clerk"), new_passkey(), name)
    assert page.status_code == 422
    assert "Must have 1 to 50 printable characters." in text_of(page)


@pytest.mark.parametrize(
    "answer",
    [
        "x",
        "[]",
        "null",
        "{}",
        '{"id": 7}',
        '{"id": "\\u0000"}',
        '{"id": "\\ud800"}',
        "[" * 10_000,
        '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": []}',
        "x" * 20_000,
    ],
)
def test_an_answer_that_is_none_is_refused(office: Office, answer):
    browser = office.browser()
    browser.get("/admin/sign-in")
    options(browser, "sign in")
    assert refused(browser.send("/admin/sign-in", passkey=answer))
    clerk = office.browser("clerk")
    clerk.get("/admin/me")
    options(clerk, "add")
    page = clerk.send("/admin/me/passkey", passkey=answer, passkey_name="laptop")
    assert page.status_code == 422


def test_tries_with_passkeys_are_slowed_for_each_address(office: Office):
    browser = office.browser()
    browser.get("/admin/sign-in")
    answers = [browser.send("/admin/sign-in", passkey="{}").status_code for _ in range(22)]
    assert answers == [401] * 20 + [429] * 2
    assert office.browser().sign_in(office.keys["operator"]).status_code == 200
