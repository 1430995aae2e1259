"""What every view needs of the house, found through the app it runs in."""

from dataclasses import dataclass, field

from flask import Request, current_app
from flask.globals import request_ctx

from ..core.presence import Sightings
from ..settings import Settings
from ..store.db import Database

EXTENSION = "smsgw"


@dataclass
class House:
    """The settings, the database and this process's memory of which devices were seen."""

    settings: Settings
    database: Database
    sightings: Sightings = field(default_factory=Sightings)


def house() -> House:
    """The house of the app that serves this request."""
    found: House = current_app.extensions[EXTENSION]
    return found


def asked() -> Request:
    """The request itself, for what looks at each one: Flask's `request` finds it anew for every attribute."""
    return request_ctx.request
