"""`create_app(settings)`: the only module that knows all parts."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from . import metrics, ops
from . import settings as settings_module
from .crm import docs
from .crm import socket_rest as crm_socket
from .http import access, answers, flushing, parsing, refusals, socket_door
from .http.app import App
from .http.wiring import EXTENSION, House
from .live import upgrade
from .phones import cable, cht, mysmsapio
from .phones import socket_rest as device_socket
from .settings import Settings
from .store.db import Database

MAX_BODY_BYTES = 16 * 1024 * 1024


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application. Make it after a fork: it opens the database."""
    settings = settings or settings_module.load()
    app = App("smsgw", static_folder=None)
    # A redirect makes a phone forget its batch: every path is taken as it comes.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.secret_key = settings_module.secret_key(settings)
    database = Database(settings.database_url, pool_size=settings.threads + 4)
    app.extensions[EXTENSION] = House(settings, database)
    metrics.prepare()
    upgrade.register(app, database)
    access.register(app)
    flushing.register(app, database)
    app.before_request(parsing.refuse_unfit)
    answers.register(app)
    refusals.register(app)
    app.register_blueprint(cht.blueprint)
    mysmsapio.register(app)
    app.register_blueprint(cable.blueprint)
    app.register_blueprint(device_socket.blueprint)
    app.register_blueprint(crm_socket.blueprint)
    socket_door.register(app, [device_socket.open_socket, crm_socket.open_socket])
    app.register_blueprint(ops.blueprint)
    docs.register(app)
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app
