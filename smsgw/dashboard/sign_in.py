"""Serves `/admin/sign-in`, `/admin/sign-out` and `/admin/confirm`."""

from typing import Any

from flask import current_app, redirect, request, url_for

from .. import clock
from ..core.accounts import passkeys
from ..core.accounts import sign_in as accounts
from ..core.accounts.operators import Identity
from ..core.accounts.roles import VIEWER
from ..errors import BadRequest, Conflict, TooMany, Unauthorized
from ..http import key_kinds, refusals
from ..http.context import services
from . import challenges, forms, sign_in_page, start, visitors
from .attempts import Attempts
from .blueprint import blueprint
from .guards import allows, anybody

EXTENSION = "smsgw.sign_in_attempts"
_WORDS = "Wrong name, password or code."
_NO_KEY = "This is not a key of ours. Is it a password? Then type your name too."


class _Tries:
    """The tries of this process: of a name with a password or a code, and of a network with any name."""

    def __init__(self) -> None:
        self._names = Attempts(at_once=10, seconds_each=30)
        self._networks = Attempts(at_once=20, seconds_each=3)

    def count(self, name: str | None) -> None:
        """Count a try, with a passkey of no name; raise `TooMany` where there were too many."""
        wait = (name is not None and self._names.count(name)) or self._networks.count(_network())
        if wait:
            text = (
                f"Too many tries. Wait {wait} seconds, or use the key, which is accepted at once."
            )
            raise TooMany(text, code="too_many_tries", retry_after_seconds=wait)

    def forget(self, name: str | None) -> None:
        """Reset the counts after a correct secret."""
        if name is not None:
            self._names.forget(name)
        self._networks.forget(_network())


def prepare(app: Any) -> None:
    """Register the count of tries with the app."""
    app.extensions[EXTENSION] = _Tries()


@blueprint.get("/sign-in")
@anybody
def sign_in() -> Any:
    """Show the page to sign in."""
    if visitors.find() is not None:
        return redirect(_next(request.args.get("next", "")), 303)
    return sign_in_page.show(carried={"page": request.args.get("next", "")})


@blueprint.post("/sign-in")
@anybody
def try_to_sign_in() -> Any:
    """Sign in with a key, with a passkey, or with a name and a password."""
    typed = forms.read()
    carried = _carried()
    try:
        forms.check_token()
        identity = _identify(forms.text("name"), typed.get("secret", "").strip())
    except (BadRequest, Unauthorized, TooMany, Conflict) as error:
        status = 429 if isinstance(error, TooMany) else 401
        return sign_in_page.show(status, error.message, carried, forms.text("name"))
    visitors.begin(identity)
    page = _next(carried.get("page", ""))
    if carried.get("action"):
        return forms.show_again(page, carried["action"], forms.unpacked(carried["typed"]))
    return redirect(page, 303)


@blueprint.post("/sign-out")
@anybody
def sign_out() -> Any:
    """Sign out."""
    forms.check_token()
    visitors.end()
    return redirect(url_for("dashboard.sign_in"), 303)


@blueprint.get("/confirm")
@allows(VIEWER)
def confirm() -> Any:
    """Ask for the person's secret."""
    return sign_in_page.ask_to_confirm(carried={"page": request.args.get("next", "")})


@blueprint.post("/confirm")
@allows(VIEWER)
def try_to_confirm() -> Any:
    """Check the person's secret, and continue with the original request."""
    carried, fault = _carried(), _fault_of(forms.text("secret"))
    if fault is not None:
        return sign_in_page.ask_to_confirm(fault, carried)
    visitors.confirm()
    action = forms.local_path(carried.get("action", ""))
    if action is not None:
        return forms.replay(action, _as_sent(carried))
    return redirect(_next(carried.get("page", "")), 303)


def _identify(name: str, secret: str) -> Identity:
    settings, database = services().settings, services().database
    if forms.text("passkey"):
        return _with_passkey()
    if name:
        return _with_password(name, secret)
    found = accounts.by_key(database, settings, secret) if secret else None
    if found is None:
        refusals.note_key("operator", secret)
        words = key_kinds.refusal("operator", secret)
        is_other = key_kinds.is_other_kind(words)
        raise Unauthorized(f"{words[:1].upper()}{words[1:]}." if is_other else _NO_KEY)
    return found


def _with_passkey() -> Identity:
    tries: _Tries = current_app.extensions[EXTENSION]
    tries.count(None)
    answer, challenge = forms.text("passkey"), challenges.take(challenges.SIGN_IN)
    party, database = challenges.party(), services().database
    try:
        found = passkeys.identify(database, party, answer, challenge, clock.now())
    except Unauthorized:
        refusals.note("operator", "wrong_passkey")
        raise
    tries.forget(None)
    return found


def _with_password(name: str, password: str) -> Identity:
    tries: _Tries = current_app.extensions[EXTENSION]
    tries.count(name)
    code = forms.text("code")
    try:
        found = accounts.by_password(services().database, name, password, code, clock.now())
    except Unauthorized:
        refusals.note("operator", "wrong_password")
        raise Unauthorized(_WORDS) from None
    tries.forget(name)
    return found


def _fault_of(secret: str) -> str | None:
    """Return why the secret was refused, `None` if it was correct."""
    name, tries = visitors.person().name, current_app.extensions[EXTENSION]
    database, settings = services().database, services().settings
    if forms.text("passkey"):
        return _fault_of_passkey(name)
    found = accounts.by_key(database, settings, secret) if secret else None
    if found is not None and found.name == name:
        return None
    try:
        tries.count(name)
    except TooMany as error:
        return error.message
    if not accounts.is_secret_of(database, settings, name, secret, clock.now()):
        return "That is not your key, your password or your present code."
    tries.forget(name)
    return None


def _fault_of_passkey(name: str) -> str | None:
    try:
        is_own = _with_passkey().name == name
    except (Unauthorized, TooMany, Conflict) as error:
        return error.message
    return None if is_own else "That is a passkey of somebody else."


def _carried() -> dict[str, str]:
    names = ("action", "page", "what", "typed")
    typed = forms.read()
    return {name: typed[f"carried_{name}"] for name in names if f"carried_{name}" in typed}


def _as_sent(carried: dict[str, str]) -> forms.Typed:
    typed = forms.unpacked(carried.get("typed", ""))
    typed[forms.PAGE] = carried.get("page", "")
    return typed


def _next(url: str) -> str:
    return forms.local_path(url) or url_for(f"dashboard.{start.first_page()}")


def _network() -> str:
    return refusals.network_of(request.remote_addr or "")
