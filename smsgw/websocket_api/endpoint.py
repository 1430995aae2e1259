"""Serves `/ws`, one URL for devices and CRMs: each side opens the socket for the keys it knows."""

from collections.abc import Callable, Sequence

from flask import Blueprint, Flask, Response, request

from ..errors import Unauthorized
from ..http import credentials, key_kinds, refusals
from ..http.guards import public

# The answer that opens the socket for the owner of a key, `None` when the key is not of this side.
Opener = Callable[[str], Response | None]


def register(app: Flask, openers: Sequence[Opener]) -> None:
    """Add `/ws` to the app."""
    blueprint = Blueprint("ws", __name__)

    @blueprint.get("/ws", websocket=True)
    @blueprint.get("/ws")
    @public
    def connect() -> Response:
        """Open the socket, or refuse before the upgrade, which clients of this protocol can see."""
        key = request.args.get("token") or request.args.get("apiKey") or credentials.bearer()
        for opener in openers:
            answer = opener(key)
            if answer is not None:
                return answer
        refusals.note_key("device_or_crm", key)
        raise Unauthorized(key_kinds.refusal("device or crm", key))

    app.register_blueprint(blueprint)
