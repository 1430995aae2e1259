"""Gives views access to the services of the application."""

from dataclasses import dataclass

from flask import Request, current_app, request

from ..settings import Settings
from ..store.db import Database
from .last_seen import LastSeenWriter

EXTENSION = "smsgw"


@dataclass
class Services:
    """The objects that requests and sockets share."""

    settings: Settings
    database: Database
    last_seen_writer: LastSeenWriter

    @property
    def is_https(self) -> bool:
        """Return whether people reach the server over HTTPS, by its public URL or by what a trusted proxy says."""
        return current_request().is_secure or self.settings.base_url.startswith("https://")


def services() -> Services:
    """Return the services of the application that serves this request."""
    found: Services = current_app._get_current_object().extensions[EXTENSION]  # type: ignore[attr-defined]
    return found


def current_request() -> Request:
    """Return the request itself, because Flask's `request` looks it up for each attribute."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found
