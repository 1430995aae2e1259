"""How much a run measures, and where."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import places


class Wrong(Exception):
    """The server did something it must not do; the run fails."""


@dataclass(frozen=True)
class Scope:
    """The run's folder, its PostgreSQL, how many paired rounds, and which of the long figures belong to it.

    Rounds of wrk take a second, and there are more of them: how its connections fall to the server's processes, and how
    their threads take turns, is different each time.
    """

    folder: Path
    postgresql_url: str
    rounds: int = 9
    wrk_rounds: int = 13
    is_quick: bool = False
    is_full: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The databases to measure on."""
        return ("sqlite",) if self.is_quick else ("sqlite", "postgresql")

    def new_database(self, kind: str, name: str) -> str:
        """The URL of a new database; `kind` is `sqlite` or `postgresql`."""
        server = self.postgresql_url if kind == "postgresql" else None
        return places.new_database(self.folder, server, name)

    @contextmanager
    def app(self, url: str, **settings: str) -> Iterator[places.Server]:
        """The server on that database."""
        with places.app(self.folder, url, **settings) as server:
            yield server

    @contextmanager
    def web(self, url: str, **settings: str) -> Iterator[places.Server]:
        """The server without its worker."""
        with places.web(self.folder, url, **settings) as server:
            yield server

    @contextmanager
    def bare(self, deed: str = "nothing", url: str = "") -> Iterator[places.Server]:
        """The bare route, which does a deed of `bare.py` to this database where one is named."""
        with places.bare(self.folder, deed, url) as server:
            yield server


def require(condition: bool, what: str) -> None:
    """Raises `Wrong` where something that must hold does not."""
    if not condition:
        raise Wrong(what)
