"""A bare Flask route under the server's own gunicorn settings: what everything over HTTP is measured against."""

import inspect
import os
import sys
from typing import Any

from flask import Flask

from smsgw import settings as settings_module
from smsgw import web


def create_app() -> Flask:
    """One view that answers with the JSON an idle poll gets, under the paths that are measured."""
    app = Flask("bare", static_folder=None)

    @app.route("/api/sms", methods=["GET", "POST"])
    @app.route("/api/v1/messages", methods=["POST"])
    def poll() -> dict[str, list[str]]:
        return {"messages": []}

    return app


class BareServer(web.WebServer):
    """gunicorn as the server configures it, without the server's own hooks, with the bare app."""

    def _config(self) -> dict[str, Any]:
        config = super()._config().items()
        return {name: value for name, value in config if not inspect.isfunction(value)}

    def load(self) -> Flask:
        return create_app()


if __name__ == "__main__":
    os.environ.setdefault("SMSGW_DATABASE_URL", "sqlite:///unused.db")
    BareServer(settings_module.load(), int(sys.argv[1])).run()
