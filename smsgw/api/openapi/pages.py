"""`/openapi.json`, the page `/docs` that shows it, the pages it links, and a front page that points there."""

import json
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, send_from_directory

from ... import __version__
from ...http.context import services
from ...http.guards import public
from .. import crms, deliveries, devices, events, messages, webhooks
from ..schemas.fields import DateTime
from . import document, guides
from .blueprint import Api, make_api

# Nothing from elsewhere and nothing inline; the viewer's style sheet has its icons as data.
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
    crms.blueprint,
)
_DOCUMENT = "smsgw.openapi"

blueprint = Blueprint("docs", __name__)


def register(app: Flask) -> None:
    """Puts the REST API and its documentation into the app."""
    for documented in _BLUEPRINTS:
        app.register_blueprint(documented)
    app.register_blueprint(blueprint)


@blueprint.get("/")
@public
def front() -> Response:
    """A page that tells somebody who found the server what it is."""
    return _page("index.html")


@blueprint.get("/docs")
@public
def show() -> Response:
    """The documentation, to read and to try out."""
    return _page("docs/index.html")


@blueprint.get("/docs/<path:name>")
@public
def show_more(name: str) -> Response:
    """The page of `docs/` that has this name, otherwise a file of the viewer's."""
    guide = guides.find(name)
    return _page(f"docs/{name}") if guide is None else _sealed(Response(guide))


@blueprint.get("/openapi.json")
@public
def show_document() -> Response:
    """The OpenAPI document."""
    return Response(_document(), mimetype="application/json")


def _page(name: str) -> Response:
    return _sealed(send_from_directory(_FOLDER, name, max_age=3600))


def _sealed(page: Response) -> Response:
    """The page with the word to browsers that it asks for nothing from elsewhere."""
    page.headers["Content-Security-Policy"] = POLICY
    page.headers["X-Content-Type-Options"] = "nosniff"
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


def _document() -> str:
    """Return the document as text, written when this process is first asked for it: that takes 0.1 s."""
    written: str | None = current_app.extensions.get(_DOCUMENT)
    if written is None:
        settings = services().settings
        introduction = _INTRODUCTION.replace("BASE_URL", settings.base_url)
        whole = document.put_together(_describe_views(), introduction, settings.public_url)
        written = json.dumps(whole, ensure_ascii=False, indent=1)
        current_app.extensions[_DOCUMENT] = written
    return written


def _describe_views() -> Api:
    """Collect what the views say about themselves, in an app that serves nobody."""
    api = make_api(Flask(__name__), __version__)
    api.register_field(DateTime, "string", "date-time")
    for documented in _BLUEPRINTS:
        api.register_blueprint(documented)
    return api
