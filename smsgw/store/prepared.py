"""Runs statements on PostgreSQL by libpq, prepared once on each connection: a cursor of psycopg costs twice as much."""

from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

# Statements with more values have too many lengths to keep each of them.
_MOST_VALUES = 500


class PreparingConnection(psycopg.Connection[TupleRow]):
    """A connection of psycopg that also runs statements of which there are few: what it prepares, it keeps.

    psycopg must prepare nothing here, because it deallocates all statements after a rollback.
    """

    # Not where a pooler answers, which may hand each transaction to another connection of the server.
    may_prepare = False

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._names: dict[str, bytes] = {}
        self._transformer = Transformer(self)

    def can_run(self, values: tuple[Any, ...]) -> bool:
        """Return whether `run` takes a statement with these values; otherwise a cursor does."""
        if not self.may_prepare or len(values) > _MOST_VALUES:
            return False
        # psycopg reports a connection that has ended, and begins transactions that only read.
        status = self.pgconn.transaction_status
        return status == TransactionStatus.INTRANS or (
            status == TransactionStatus.IDLE and not self.read_only
        )

    def run(self, text: str, values: tuple[Any, ...]) -> list[TupleRow]:
        """Run it as psycopg would, and return its rows; none where it gives none."""
        if self.pgconn.transaction_status == TransactionStatus.IDLE and not self.autocommit:
            self._check(self.pgconn.exec_(b"BEGIN"))
        name = self._names.get(text) or self._prepare(text, len(values))
        bound: Any = self._transformer.dump_sequence(values, [PyFormat.TEXT] * len(values))
        result = self._check(self.pgconn.exec_prepared(name, bound))
        if not result.nfields:
            return []
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def _prepare(self, text: str, count: int) -> bytes:
        marks = tuple([f"${number}" for number in range(1, count + 1)])
        name = b"smsgw_%d" % len(self._names)
        self._check(self.pgconn.prepare(name, (text % marks).encode(self.info.encoding)))
        self._names[text] = name
        return name

    def _check(self, result: PGresult) -> PGresult:
        if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            return result
        encoding = self.info.encoding
        if self.pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError(result.get_error_message(encoding))
        raise errors.error_from_result(result, encoding)
