"""What every view needs of the house, found through the app it runs in."""

from dataclasses import dataclass

from flask import Request, current_app, request

from ..settings import Settings
from ..store.db import Database

EXTENSION = "smsgw"


@dataclass
class House:
    """The settings and the database."""

    settings: Settings
    database: Database


def house() -> House:
    """The house of the app that serves this request."""
    found: House = current_app._get_current_object().extensions[EXTENSION]  # type: ignore[attr-defined]
    return found


def asked() -> Request:
    """The request itself, for what looks at each one: Flask's `request` finds it anew for every attribute."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found
