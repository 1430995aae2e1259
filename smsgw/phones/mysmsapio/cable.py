"""Admits devices to MySMSAPio's socket, `/cable`; `conversation` speaks its protocol."""

from flask import Blueprint, Response, request

from ... import clock
from ...core.devices import logins
from ...core.devices.logins import Login
from ...http import refusals
from ...http.context import services
from ...http.guards import public
from ...live import upgrade
from . import frames
from .conversation import CableConversation

SUBPROTOCOL = "actioncable-v1-json"

blueprint = Blueprint("cable", __name__)


@blueprint.get("/cable", websocket=True)
@public
def connect() -> Response:
    """Open the socket, also for a wrong key: only a frame stops a client from reconnecting endlessly."""
    if not upgrade.is_handshake():
        return _page_not_found()
    login = _find_login()
    if login is None:
        refusals.note_key("device", _key())
    if login is None or not login.enabled:
        return upgrade.refuse(frames.UNAUTHORIZED, [SUBPROTOCOL])
    if not login.approved:
        return upgrade.refuse(frames.NOT_YET, [SUBPROTOCOL])
    return upgrade.accept(CableConversation(services(), login), [SUBPROTOCOL])


@blueprint.route("/cable", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@public
def not_found() -> Response:
    """Answer as Rails does to a request that asks for no socket."""
    return _page_not_found()


def _page_not_found() -> Response:
    return Response("Page not found", 404, mimetype="text/plain")


def _key() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return request.args.get("api_key") or (token.strip() if scheme.lower() == "bearer" else "")


def _find_login() -> Login | None:
    key = _key()
    if not key.startswith("gw_live_"):
        return None
    return logins.find_by_key(services().database, key, clock.now())
