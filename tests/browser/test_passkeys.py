"""A passkey of Chromium's own pretend security key, at an https address with a name."""

from dataclasses import replace
from typing import Any

import pytest

from smsgw.settings import Settings

from .conftest import Site

ORIGIN = "https://sms.example.org"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, public_url=ORIGIN)


def serve(site: Site) -> None:
    """Lets the page reach the server as at its public address."""
    client = site.world.app.test_client()

    def answer(route: Any) -> None:
        asked = route.request
        path = asked.url.removeprefix(ORIGIN)
        found = client.open(
            path,
            method=asked.method,
            data=asked.post_data_buffer,
            headers=list(asked.all_headers().items()),
            base_url=ORIGIN,
        )
        route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.data)

    site.page.context.route(f"{ORIGIN}/**", answer)


def add_security_key(page: Any) -> None:
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "automaticPresenceSimulation": True}
    abilities = {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {**key, **abilities}})


def test_a_passkey_is_added_and_signs_in_the_next_time(site: Site):
    page = site.page
    serve(site)
    add_security_key(page)
    page.goto(f"{ORIGIN}/admin/sign-in?next=/admin/me")
    page.get_by_label("Your key").fill(site.office.keys["clerk"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Name of the passkey").fill("laptop")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("The passkey laptop is added.").wait_for()
    page.get_by_label("Name of the passkey").fill("once more")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_text("This device has a passkey of yours already.").wait_for()
    site.look("passkeys")
    page.get_by_role("button", name="Sign out").first.click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("heading", name="Conversations").wait_for()
    assert page.faults == []
