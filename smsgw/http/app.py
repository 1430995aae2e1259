"""Leaves out what costs Flask time at each request and does nothing for us."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug.routing import MapAdapter


class CookieSessions(SecureCookieSessionInterface):
    """Flask's sessions; callers without a cookie (phones and CRMs) get an empty one and no cryptography."""

    def open_session(self, app: Flask, request: Request) -> Any:
        if "HTTP_COOKIE" in request.environ:
            return super().open_session(app, request)
        return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed or session.modified:
            super().save_session(app, session, response)


class Asked(Request):
    """A request that remembers its blueprints, which Flask wants to know three times."""

    @cached_property
    def blueprints(self) -> list[str]:
        return super().blueprints


class App(Flask):
    """The class of our WSGI application."""

    session_interface = CookieSessions()
    request_class = Asked

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself: none of ours is a coroutine, and Flask checks that ten times per request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that finds the view. No route depends on the host, so its name is not parsed."""
        if request is None or "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        return MapAdapter(
            self.url_map,
            request.host,
            request.root_path,
            "",
            request.scheme,
            request.path,
            request.method,
            request.environ.get("QUERY_STRING"),
        )
