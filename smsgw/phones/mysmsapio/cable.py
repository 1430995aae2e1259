"""Admits devices to MySMSAPio's socket, `/cable`; `conversation` speaks its protocol."""

from flask import Blueprint, Response, request

from ...http import credentials, refusals
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
    key = _key()
    login = credentials.find_device(key)
    if login is None:
        refusals.note_key("device", key)
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
    return request.args.get("api_key") or credentials.bearer()
