"""Admits people to views: by their role, from pages of this site only, and after typing a secret if required."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, g, redirect, request

from ..errors import Forbidden
from ..http.guards import View
from . import forms, rendering, sign_in_page, visitors

_FROM_HERE = ("same-origin", "none")


def allows(role: str, *, confirmed: bool = False) -> Callable[[View], View]:
    """Admit people who have at least this role; with `confirmed`, if they typed a secret in the last 15 minutes."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refused = _refuse(role, confirmed)
            return view(*args, **kwargs) if refused is None else refused

        guarded.guard = role  # type: ignore[attr-defined]
        guarded.is_confirmed = confirmed  # type: ignore[attr-defined]
        return guarded

    return decorate


def anybody(view: View) -> View:
    """Admit everybody from pages of this site: for signing in."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refused = _refuse_other_sites()
        return view(*args, **kwargs) if refused is None else refused

    guarded.guard = "public"  # type: ignore[attr-defined]
    return guarded


def _refuse(role: str, confirmed: bool) -> Any:
    refused = _refuse_other_sites()
    if refused is not None:
        return refused
    if visitors.find() is None:
        return _ask_to_sign_in()
    if not visitors.is_allowed(role):
        raise Forbidden(f"This is for people with the role {role}. Ask an operator.", code="role")
    if request.method == "POST" and not g.get("is_replayed"):
        forms.check_token()
    if confirmed and not visitors.is_confirmed():
        return sign_in_page.ask_to_confirm()
    return None


def _refuse_other_sites() -> Any:
    """Refuse requests from other sites; a link from there is followed again from our page, to get the cookie."""
    if request.headers.get("Sec-Fetch-Site", "none") in _FROM_HERE:
        return None
    if request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate":
        return rendering.bare("entering.html", url=request.full_path.rstrip("?"))
    raise Forbidden("The dashboard takes requests from its own pages only.", code="other_site")


def _ask_to_sign_in() -> Any:
    if "HX-Request" in request.headers:
        return _redirect_whole_page()
    if request.method == "POST":
        return sign_in_page.ask_again()
    return redirect(sign_in_page.url(request.full_path), 303)


def _redirect_whole_page() -> Response:
    page = request.headers.get("HX-Current-URL", "")
    if visitors.is_poll() or request.method == "POST":
        # Somebody may be typing on the page, so it stays and shows a note.
        answer = rendering.bare("signed_out.html", status=401, url=sign_in_page.url(page))
        answer.headers.update({"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"})
        return answer
    return Response(status=401, headers={"HX-Redirect": sign_in_page.url(page)})
