"""Lets SQLAlchemy's session and statements that only the driver runs share one write transaction."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.orm import Session

from . import statements
from .kept_connection import OneCursor
from .statements import AnyConnection, DriverConnection


class WriteSession(Session):
    """The session of one write transaction, which begins with its first statement.

    Statements of `store/queries` run on `driver`. SQLAlchemy joins the transaction where one of its own is run: that
    takes as long as all statements of a short transaction.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._engine = engine
        self._pooled: sa.pool.PoolProxiedConnection | None = None
        self._joined: Connection | None = None
        self._driver: DriverConnection | None = None

    @property
    def driver(self) -> DriverConnection:
        """Return the transaction as the driver knows it."""
        if self._driver is None:
            dialect = self._engine.dialect
            with statements.translating(dialect):
                connection: Any = self._from_pool().dbapi_connection
                self._driver = DriverConnection(OneCursor(connection, connection.cursor()), dialect)
        return self._driver

    def get_bind(self, *_: Any, **__: Any) -> Connection:
        """Return SQLAlchemy's connection in this transaction."""
        if self._joined is None:
            with statements.translating(self._engine.dialect):
                self._joined = Connection(self._engine, self._from_pool())
        return self._joined

    def commit(self) -> None:
        """Commit what SQLAlchemy has joined, and what only the driver knows of."""
        if self.in_transaction():
            super().commit()
        self._end(keeps_changes=True)

    def rollback(self) -> None:
        """Roll both back."""
        if self.in_transaction():
            super().rollback()
        self._end(keeps_changes=False)

    def close(self) -> None:
        """Give the connection back to its pool."""
        if self._joined is not None:
            super().close()
        pooled, self._pooled, self._joined = self._pooled, None, None
        if pooled is not None:
            pooled.close()

    def _end(self, *, keeps_changes: bool) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            connection = driver.connection.driver
            with statements.translating(driver.dialect):
                connection.commit() if keeps_changes else connection.rollback()

    def _from_pool(self) -> sa.pool.PoolProxiedConnection:
        if self._pooled is None:
            self._pooled = self._engine.raw_connection()
        return self._pooled


def connection_of(session: Session) -> AnyConnection:
    """Write what the session has not written yet, and return what statements of its transaction run on."""
    session.flush()
    if isinstance(session, WriteSession) and session.is_active:
        return session.driver
    return session.connection()


def dialect_of(session: Session) -> Dialect:
    """Return the dialect of the session's database."""
    bind = session.bind
    assert bind is not None
    return bind.dialect
