"""Serves `/openapi.json`, the page `/docs` that shows it, the pages for users, and a front page with links."""

import json
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, send_from_directory

from ... import __version__
from ...http.context import services
from ...http.guards import public
from .. import audit, crms, deliveries, devices, events, messages, opt_outs, webhooks
from ..schemas.fields import DateTime
from . import document, guides
from .blueprint import Api, make_api

# Only our own files and nothing inline; the viewer's style sheet contains its icons as data URLs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FOLDER = Path(__file__).parent / "static"
_INTRODUCTION = (Path(__file__).parent / "introduction.md").read_text(encoding="utf-8")
_BLUEPRINTS = (
    messages.blueprint,
    events.blueprint,
    webhooks.blueprint,
    deliveries.blueprint,
    devices.blueprint,
    opt_outs.blueprint,
    crms.blueprint,
    audit.blueprint,
)
_DOCUMENT = "smsgw.openapi"

blueprint = Blueprint("docs", __name__)


def register(app: Flask) -> None:
    """Register the REST API and its documentation with the app."""
    for documented in _BLUEPRINTS:
        app.register_blueprint(documented)
    app.register_blueprint(blueprint)


@blueprint.get("/")
@public
def front() -> Response:
    """Serve a page that tells visitors what this server is."""
    return _with_security_headers(Response(guides.front()))


@blueprint.get("/docs")
@public
def show() -> Response:
    """Serve the API documentation, where requests can be tried out."""
    return _with_security_headers(Response(guides.api()))


@blueprint.get("/docs/<path:name>")
@public
def show_more(name: str) -> Response:
    """Serve the page of `docs/` with this name, otherwise a file of the viewer."""
    guide = guides.find(name)
    found = _file(name) if guide is None else Response(guide)
    return _with_security_headers(found)


@blueprint.get("/openapi.json")
@public
def show_document() -> Response:
    """Serve the OpenAPI document."""
    return Response(_document(), mimetype="application/json")


def _file(name: str) -> Response:
    return send_from_directory(_FOLDER, f"docs/{name}", max_age=3600)


def _with_security_headers(page: Response) -> Response:
    """Add the headers that allow the page to load nothing from other sites."""
    page.headers["Content-Security-Policy"] = POLICY
    page.headers["X-Content-Type-Options"] = "nosniff"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


def _document() -> str:
    """Return the document as JSON, built at the first request of this process, because that takes 0.1 s."""
    written: str | None = current_app.extensions.get(_DOCUMENT)
    if written is None:
        settings = services().settings
        introduction = _INTRODUCTION.replace("BASE_URL", settings.base_url)
        whole = document.build(_describe_views(), introduction, settings.public_url)
        written = json.dumps(whole, ensure_ascii=False, indent=1)
        current_app.extensions[_DOCUMENT] = written
    return written


def _describe_views() -> Api:
    """Collect the documentation of the views, in an app that serves no requests."""
    api = make_api(Flask(__name__), __version__)
    api.register_field(DateTime, "string", "date-time")
    for documented in _BLUEPRINTS:
        api.register_blueprint(documented)
    return api
