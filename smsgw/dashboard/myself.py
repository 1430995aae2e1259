"""Serves `/admin/me`: the password, the codes, the passkeys and the sessions of the signed-in person."""

from typing import TYPE_CHECKING, Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts import (
    browser_sessions,
    one_time_codes,
    operators,
    passkeys,
    passwords,
    sign_in,
)
from ..core.accounts.operators import FIXED
from ..core.accounts.roles import VIEWER
from ..errors import Invalid
from ..http.context import services
from ..lazy_imports import lazy
from . import forms, rendering, visitors
from .blueprint import blueprint
from .guards import allows

if TYPE_CHECKING:
    import segno
else:
    segno = lazy("segno")


@blueprint.get("/me")
@allows(VIEWER)
def me() -> Any:
    """Show how the person signs in, and where."""
    name = visitors.person().name
    with services().database.reading() as session:
        found = None if name == FIXED else operators.get(session, name)
        own_passkeys = passkeys.of(session, name)
        sessions = browser_sessions.of_everyone(session, clock.now())
    form = forms.Form(url_for("dashboard.set_codes"))
    secret = form.value("totp_secret") or one_time_codes.new_secret()
    return rendering.render(
        "me.html",
        title="You",
        one=found,
        sessions=[each for each in sessions if each.operator_name == name],
        secret=secret,
        qr=_drawn(one_time_codes.uri(secret, name)),
        passkeys=own_passkeys,
        most_passkey_name=passkeys.MOST_NAME_CHARACTERS,
        fewest=passwords.FEWEST_CHARACTERS,
    )


@blueprint.post("/me/password")
@allows(VIEWER, confirmed=True)
def set_password() -> Any:
    """Set or change the person's password; the person's other sessions end."""
    typed, repeated = (forms.read().get(name, "") for name in ("new_password", "repeated"))
    if typed != repeated:
        raise Invalid.sentence("repeated", "The two passwords differ.")
    password_hash = passwords.hashed(typed)
    _change(password_hash)
    flash("Your password is set. Sign in with your name and it, or with your key as before.")
    return redirect(url_for("dashboard.me"), 303)


@blueprint.post("/me/password/remove")
@allows(VIEWER, confirmed=True)
def remove_password() -> Any:
    """Remove the person's password and codes: only the key is left."""
    _change(None)
    flash("Your password is removed. Sign in with your key.")
    return redirect(url_for("dashboard.me"), 303)


@blueprint.post("/me/codes")
@allows(VIEWER, confirmed=True)
def set_codes() -> Any:
    """Ask for a code after the password from now on."""
    secret, code = forms.text("totp_secret"), forms.text("code")
    with services().database.transaction() as session:
        found = operators.get(session, visitors.person().name)
        sign_in.set_codes(session, found, secret, code, clock.now())
    flash("From now on a code is asked for after your password.")
    return redirect(url_for("dashboard.me"), 303)


@blueprint.post("/me/sign-out-others")
@allows(VIEWER)
def end_other_sessions() -> Any:
    """End the person's other sessions."""
    here = visitors.person()
    with services().database.transaction() as session:
        browser_sessions.end_others(session, here.name, here.id_hash)
    flash("You are signed in only here now.")
    return redirect(url_for("dashboard.me"), 303)


def _change(password_hash: str | None) -> None:
    here = visitors.person()
    with services().database.transaction() as session:
        found = operators.get(session, here.name)
        sign_in.set_password(session, found, password_hash)
        browser_sessions.end_others(session, here.name, here.id_hash)


def _drawn(text: str) -> str:
    """Return a QR code as a data URL."""
    return str(segno.make_qr(text, error="m").svg_data_uri(scale=5, border=4, light="#fff"))
