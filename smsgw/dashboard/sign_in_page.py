"""Asks people to sign in, or to type a secret again, and keeps the form that they have sent."""

from typing import Any
from urllib.parse import urlsplit

from flask import request, url_for

from ..core.accounts import passkeys
from ..http.app import HTTPS_COOKIE
from ..http.context import services
from . import challenges, forms, rendering, visitors
from .blueprint import PREFIX


def url(page: str) -> str:
    """Return the URL of the page to sign in, which redirects to this page afterwards."""
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
        "sign_in.html",
        status=status,
        fault=fault,
        carried=carried or {},
        name=name,
        https_page=_https_page(),
    )


def ask_again() -> Any:
    """Return the page to sign in, which keeps the form of this request."""
    if not visitors.was_signed_in():
        # A stranger's: nothing of it is read.
        return show(401)
    carried = _carried()
    file = " A file has to be chosen again." if forms.has_file() else ""
    text = f"Your session has ended. Sign in again: what you typed is kept.{file}"
    return show(401, text, carried)


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


def _https_page() -> str | None:
    """Return the HTTPS page to sign in at, if the browser would keep no cookie over plain HTTP."""
    public = services().settings.base_url
    if request.is_secure or not public.startswith("https://"):
        return None
    # Browsers send no `Sec-Fetch-Site` over plain HTTP to another machine.
    has_refused = request.method == "POST" and HTTPS_COOKIE not in request.cookies
    if not has_refused and (request.method == "POST" or "Sec-Fetch-Site" in request.headers):
        return None
    is_there = urlsplit(public).netloc == request.host
    return f"{public}{PREFIX}" if has_refused or not is_there else None


def _carried() -> dict[str, str]:
    typed = forms.read()
    return {
        "action": request.full_path.rstrip("?"),
        "page": typed.get(forms.PAGE, ""),
        "what": typed.get(forms.WHAT, "")[:200],
        "typed": forms.packed(),
    }
