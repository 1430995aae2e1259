"""Asks people to sign in, or to type a secret again, and carries what they typed into a form meanwhile."""

from typing import Any

from flask import request, url_for

from ..core.accounts import passkeys
from ..http.context import services
from . import challenges, forms, rendering, visitors
from .blueprint import PREFIX


def url(page: str) -> str:
    """Return the address of the page to sign in, which leads to this page afterwards."""
    path = forms.local_path(page)
    return url_for("dashboard.sign_in", next=None if path in (None, PREFIX, f"{PREFIX}?") else path)


def show(
    status: int = 200,
    fault: str | None = None,
    carried: dict[str, str] | None = None,
    name: str = "",
) -> Any:
    """Return the page to sign in."""
    return rendering.bare(
        "sign_in.html", status=status, fault=fault, carried=carried or {}, name=name
    )


def ask_again() -> Any:
    """Return the page to sign in, which keeps what was typed into the form of this request."""
    if not visitors.was_signed_in():
        # A stranger's: nothing of it is read.
        return show(401)
    return show(401, "Your session has ended. Sign in again: what you typed is kept.", _carried())


def ask_to_confirm(fault: str | None = None, carried: dict[str, str] | None = None) -> Any:
    """Return the page that asks for the person's secret before the request goes on."""
    if carried is None:
        carried = _carried() if request.method == "POST" else {"page": request.full_path}
    return rendering.render(
        "confirm.html",
        has_passkey=challenges.are_offered() and _has_passkey(),
        title="Is it you?",
        status=401 if fault or request.method == "POST" else 200,
        fault=fault,
        carried=carried,
        what=carried.get("what") or "continue",
    )


def _has_passkey() -> bool:
    with services().database.reading() as session:
        return bool(passkeys.of(session, visitors.person().name))


def _carried() -> dict[str, str]:
    typed = forms.read()
    return {
        "action": request.full_path.rstrip("?"),
        "page": typed.get(forms.PAGE, ""),
        "what": typed.get(forms.WHAT, "")[:200],
        "typed": forms.packed(),
    }
