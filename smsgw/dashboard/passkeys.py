"""Serves the challenges for passkeys, and `/admin/me/passkey`."""

from typing import Any

from flask import Response, flash, redirect, url_for

from .. import clock
from ..core.accounts import browser_sessions, operators, passkey_challenges, passkeys
from ..core.accounts.roles import VIEWER
from ..http.context import services
from . import challenges, forms, visitors
from .blueprint import blueprint
from .guards import allows, anybody


@blueprint.post("/sign-in/passkey")
@anybody
def passkey_to_sign_in() -> Any:
    """Return the options for the browser to let the person choose a passkey."""
    challenge = challenges.begin(challenges.SIGN_IN)
    return _json(passkey_challenges.options_to_sign_in(challenges.party(), challenge))


@blueprint.post("/me/passkey/options")
@allows(VIEWER)
def passkey_to_add() -> Any:
    """Return the options for the browser to make a passkey."""
    with services().database.reading() as session:
        found = operators.get(session, visitors.person().name)
        present = passkeys.of(session, found.name)
    challenge = challenges.begin(challenges.ADD)
    options = passkey_challenges.options_to_add(challenges.party(), found, present, challenge)
    return _json(options)


@blueprint.post("/me/passkey")
@allows(VIEWER, confirmed=True)
def add_passkey() -> Any:
    """Add the passkey that the browser made."""
    now = clock.now()
    challenge = challenges.take(challenges.ADD)
    made = passkeys.verify_new(challenges.party(), forms.text("passkey"), challenge, now)
    name = forms.text("passkey_name")
    with services().database.transaction() as session:
        found = operators.get(session, visitors.person().name)
        passkeys.add(session, found, name, made, now)
    flash(f'The passkey {name} is added. Choose "Sign in with a passkey" from now on.')
    return redirect(url_for("dashboard.me"), 303)


@blueprint.post("/me/passkey/remove")
@allows(VIEWER, confirmed=True)
def remove_passkey() -> Any:
    """Remove one of the person's passkeys; the person's other sessions end."""
    here = visitors.person()
    with services().database.transaction() as session:
        found = operators.get(session, here.name)
        passkeys.remove(session, found, forms.text("id"))
        browser_sessions.end_others(session, here.name, here.id_hash)
    flash("The passkey is removed, and you are signed in only here now.")
    return redirect(url_for("dashboard.me"), 303)


def _json(options: str) -> Response:
    return Response(options, mimetype="application/json")
