"""Builds the application from its parts: the only module that knows them all."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from . import metrics, ops
from . import settings as settings_module
from .api.openapi import pages
from .dashboard import site as dashboard
from .http import access, actors, answers, parsing, refusals
from .http.app import App
from .http.context import EXTENSION, Services
from .http.last_seen import LastSeenWriter
from .live import upgrade
from .phones.cht import endpoints
from .phones.mysmsapio import cable, rest
from .settings import Settings
from .store.db import Database
from .websocket_api import crm_rest as crm_socket
from .websocket_api import device_rest as device_socket
from .websocket_api import endpoint

MAX_BODY_BYTES = 16 * 1024 * 1024


def create_app(settings: Settings | None = None) -> Flask:
    """Return the WSGI application. Call it after a fork: it opens the database."""
    settings = settings or settings_module.load()
    app = build_app(settings)
    open_services(app, settings)
    return app


def build_app(settings: Settings) -> Flask:
    """Return the application without its database; it opens nothing, so forked processes can share it."""
    app = App("smsgw", static_folder=None)
    # A redirect makes a phone forget its batch: every path is matched as it is.
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    access.register(app)
    app.before_request(parsing.refuse_unfit)
    answers.register(app)
    refusals.register(app)
    app.register_blueprint(endpoints.blueprint)
    rest.register(app)
    app.register_blueprint(cable.blueprint)
    app.register_blueprint(device_socket.blueprint)
    app.register_blueprint(crm_socket.blueprint)
    endpoint.register(app, [device_socket.open_socket, crm_socket.open_socket])
    app.register_blueprint(ops.blueprint)
    pages.register(app)
    dashboard.register(app)
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    return app


def open_services(app: Flask, settings: Settings) -> None:
    """Give the application its database and all that belongs to the process that serves. Call it after a fork."""
    app.secret_key = settings_module.secret_key(settings)
    database = Database(
        settings.database_url, pool_size=settings.threads + 4, find_actor=actors.find_actor
    )
    app.extensions[EXTENSION] = Services(settings, database, LastSeenWriter(database))
    metrics.prepare()
    upgrade.register(app, database)
