"""Provides a Flask application without work per request that this server does not need."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from werkzeug.routing import MapAdapter, Rule

from .context import services

HTTPS_COOKIE = "__Host-smsgw"
HTTP_COOKIE = "smsgw"
_OPTIONS_OF_FLASK = {"return_rule": True}


class CookieSessions(SecureCookieSessionInterface):
    """Flask's sessions; callers without a cookie (phones and CRMs) get an empty one without any cryptography."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return a name that browsers take over HTTPS only, from this host only; over plain HTTP another one."""
        return HTTPS_COOKIE if self.get_cookie_secure(app) else HTTP_COOKIE

    def get_cookie_secure(self, app: Flask) -> bool:
        """Return whether people reach the server over HTTPS."""
        return services().is_https

    def open_session(self, app: Flask, request: Request) -> Any:
        if "HTTP_COOKIE" in request.environ:
            return super().open_session(app, request)
        return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed or session.modified:
            super().save_session(app, session, response)


class CachingRequest(Request):
    """A request that caches its blueprints, which Flask looks up three times."""

    @cached_property
    def blueprints(self) -> list[str]:
        return super().blueprints


class LateRule(Rule):
    """A route whose code for building URLs is compiled when one is built, as most routes are only matched.

    Compiled at the start, that code is five sixths of the time that making the application takes.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _build_with_query if append_unknown else _build

    def compile_builders(self) -> None:
        """Compile both ways to build: with the values that the path has no place for, and without."""
        self._build_unknown = super()._compile_builder(True).__get__(self)
        self._build = super()._compile_builder(False).__get__(self)


class Routes(MapAdapter):
    """Finds the route of a request; one without variables only once, because Werkzeug's search leaves garbage."""

    known: dict[tuple[str, str], Rule]

    def match(self, *given: Any, **options: Any) -> Any:
        if given or options != _OPTIONS_OF_FLASK:
            return super().match(*given, **options)
        called = self.default_method, self.path_info
        rule = self.known.get(called)
        if rule is not None:
            return rule, {}
        rule, values = super().match(return_rule=True)
        # Other paths lead there too, as many as somebody likes to think of.
        if not rule.arguments and rule.rule == self.path_info:
            self.known[called] = rule
        return rule, values


class App(Flask):
    """The WSGI application."""

    url_rule_class = LateRule
    session_interface = CookieSessions()
    request_class = CachingRequest

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself: no view is a coroutine, and Flask would check that ten times per request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that finds the view. The host is not parsed, because no route depends on it."""
        if request is None or "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        routes = Routes(
            self.url_map,
            request.host,
            request.root_path,
            "",
            request.scheme,
            request.path,
            request.method,
            request.environ.get("QUERY_STRING"),
        )
        routes.known = self._known_routes
        return routes

    @cached_property
    def _known_routes(self) -> dict[tuple[str, str], Rule]:
        return {}


def _build_with_query(rule: LateRule, **values: Any) -> tuple[str, str]:
    rule.compile_builders()
    return rule._build_unknown(**values)


def _build(rule: LateRule, **values: Any) -> tuple[str, str]:
    rule.compile_builders()
    return rule._build(**values)
