"""Keeps the connection of one transaction to PostgreSQL for the next, which costs less than a pool's check of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine


class OneCursor(NamedTuple):
    """A driver's connection with one cursor for all statements: to make one takes a fifth of a statement."""

    driver: Any
    only: Any

    def cursor(self) -> Any:
        """Return the cursor."""
        return self.only


class KeptConnection:
    """A connection of the engine's pool for one thread at a time, kept out of the pool until `close`.

    `refuse` raises `DisconnectionError` for one that is no longer good: then another one takes its place.
    """

    def __init__(
        self, engine: Engine, refuse: Callable[[sa.pool.PoolProxiedConnection], None]
    ) -> None:
        self._engine = engine
        self._refuse = refuse
        self._kept: list[tuple[sa.pool.PoolProxiedConnection, OneCursor]] = []

    @contextmanager
    def lent(self) -> Iterator[OneCursor]:
        """Lend the connection for a transaction; on any exception it is ended, and the transaction with it."""
        pooled, one_cursor = self._taken() or self._connect()
        is_sound = False
        try:
            yield one_cursor
            is_sound = True
        finally:
            if not is_sound:
                _end(pooled)
        self._kept.append((pooled, one_cursor))

    def close(self) -> None:
        """Give the connection back to the pool."""
        while self._kept:
            self._kept.pop()[0].close()

    def _taken(self) -> tuple[sa.pool.PoolProxiedConnection, OneCursor] | None:
        """Return the kept connection; `None` where there is none, or none that is good."""
        if not self._kept:
            return None
        pooled, one_cursor = self._kept.pop()
        try:
            self._refuse(pooled)
        except sa.exc.DisconnectionError:
            _end(pooled)
            return None
        return pooled, one_cursor

    def _connect(self) -> tuple[sa.pool.PoolProxiedConnection, OneCursor]:
        pooled = self._engine.raw_connection()
        return pooled, OneCursor(pooled.dbapi_connection, pooled.cursor())


def _end(pooled: sa.pool.PoolProxiedConnection) -> None:
    pooled.invalidate()
    pooled.close()
