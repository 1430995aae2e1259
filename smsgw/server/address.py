"""Notes the server's address beside its database, so that commands print it without the server's environment."""

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..settings import DATA_FOLDER, Settings, names_address

_SQLITE = "sqlite:///"
_LOG = logging.getLogger("smsgw.served")


def note(settings: Settings, port: int) -> None:
    """Note that the server listens on this port. Where that cannot be written, it serves all the same."""
    address = {"host": settings.host, "port": port, "public_url": settings.public_url}
    path = note_path(settings.database_url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(address))
    except OSError as error:
        _LOG.warning("the address is not noted for the commands: %s", error)


def as_served(settings: Settings) -> Settings:
    """Return the settings with the noted address, unless the environment names one; it outlasts the server."""
    if names_address():
        return settings
    return replace(settings, **_noted(note_path(settings.database_url)))


def note_path(database_url: str) -> Path:
    """Return the file: beside an SQLite database, and for any other database in the data folder."""
    if database_url.startswith(_SQLITE):
        return Path(f"{database_url.removeprefix(_SQLITE)}-address.json")
    name = hashlib.sha256(database_url.encode()).hexdigest()[:12]
    return DATA_FOLDER / f"{name}-address.json"


def _noted(path: Path) -> dict[str, Any]:
    try:
        address = json.loads(path.read_text())
        return {name: address[name] for name in ("host", "port", "public_url")}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
