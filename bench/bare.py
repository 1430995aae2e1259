"""A bare Flask route under the server's own gunicorn settings: what everything over HTTP is measured against.

`python -m bench.bare DESCRIPTOR [look | insert]`. With a deed it does that to the database before it answers, and
nothing else that a server must.
"""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Flask

from smsgw import clock, ids
from smsgw import settings as settings_module
from smsgw.core.accounts import crms
from smsgw.core.devices import logins
from smsgw.core.messages import queueing
from smsgw.core.messages.drafts import Draft
from smsgw.server import gunicorn_app
from smsgw.settings import Settings
from smsgw.store.db import Database

Deed = Callable[[], object]


def create_app(deed: Deed) -> Flask:
    """One view that answers with the JSON an idle poll gets, under the paths that are measured."""
    app = Flask("bare", static_folder=None)

    @app.route("/api/sms", methods=["GET", "POST"])
    @app.route("/api/v1/messages", methods=["POST"])
    def poll() -> dict[str, list[str]]:
        deed()
        return {"messages": []}

    return app


class BareServer(gunicorn_app.WebServer):
    """gunicorn as the server configures it, without the server's own hooks, with the bare app."""

    def __init__(self, settings: Settings, descriptor: int, deed: str) -> None:
        # The app that serves is made in `load`, after the fork, because some deeds open the database.
        super().__init__(settings, create_app(_nothing(settings)), descriptor)
        self._deed = deed

    def _config(self) -> dict[str, Any]:
        config = super()._config().items()
        return {name: value for name, value in config if not inspect.isfunction(value)}

    def load(self) -> Any:
        return create_app(DEEDS[self._deed](self._settings))


def _nothing(_settings: Settings) -> Deed:
    return lambda: None


def _look(settings: Settings) -> Deed:
    """What an idle poll asks: who the device is, and whether there is anything for it."""
    database = Database(settings.database_url)
    return lambda: logins.find(database, "phone-0", clock.now())


def _insert(settings: Settings) -> Deed:
    """A message's rows, on the disk before the answer, in one transaction with those of others."""
    database = Database(settings.database_url)
    with database.reading() as session:
        crm = crms.everyone(session)[0]
    draft = Draft(to="+447700900123", content="Reminder: see you at ten tomorrow")
    messages, history = queueing.prepare(database, crm, settings, draft, clock.now()).batches
    (message,), (entry,) = messages.rows, history.rows

    def insert() -> None:
        new = ids.new_message_id()
        database.insert_together(
            [
                replace(messages, rows=[replace(message, id=new)]),
                replace(history, rows=[entry._replace(message_id=new)]),
            ]
        )

    return insert


DEEDS = {"nothing": _nothing, "look": _look, "insert": _insert}


if __name__ == "__main__":
    os.environ.setdefault("SMSGW_DATABASE_URL", "sqlite:///unused.db")
    BareServer(settings_module.load(), int(sys.argv[1]), sys.argv[2]).run()
