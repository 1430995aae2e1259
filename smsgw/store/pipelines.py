"""Runs the statements of a transaction in two trips to PostgreSQL: psycopg takes one for each, and BEGIN and COMMIT."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..lazy_imports import lazy

if TYPE_CHECKING:
    import psycopg
    from psycopg import adapt, generators, pq
else:
    psycopg = lazy("psycopg")
    adapt = lazy("psycopg.adapt")
    generators = lazy("psycopg.generators")
    pq = lazy("psycopg.pq")

# As many as psycopg keeps on a connection.
_MOST_PREPARED = 100

Row = tuple[Any, ...]


class Pipeline:
    """A transaction on a connection of psycopg, as a cursor. Statements are sent when rows are read, and at the end.

    `prepared` are the statements that the connection knows. After an error the connection can only be closed. An error
    of a statement whose rows nobody reads is raised at the end, and then nothing is committed.
    """

    def __init__(self, driver: "psycopg.Connection[Row]", prepared: dict[str, bytes]) -> None:
        self._driver = driver
        self._pgconn = driver.pgconn
        # The engine lets nothing be prepared where a pooler answers.
        self._prepared = prepared if driver.prepare_threshold is not None else None
        self._transformer = adapt.Transformer(driver)
        self._expected = 0
        self._pgconn.enter_pipeline_mode()
        self.execute("BEGIN", ())

    def cursor(self) -> "Pipeline":
        """Return itself: there is one result at a time."""
        return self

    def execute(self, text: str, values: Sequence[Any]) -> None:
        """Put the statement into the pipeline."""
        formats = [adapt.PyFormat.TEXT] * len(values)
        given = self._transformer.dump_sequence(values, formats)
        name = self._name(text) if values else None
        if name is None:
            self._pgconn.send_query_params(_numbered(text), given)
        else:
            self._pgconn.send_query_prepared(name, given)
        self._expected += 1

    def fetchall(self) -> list[Row]:
        """Send what is in the pipeline, and return the rows of the last statement."""
        result = self._exchange()
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)

    def finish(self) -> None:
        """Commit."""
        self.execute("COMMIT", ())
        self._exchange()
        self._pgconn.exit_pipeline_mode()

    def _name(self, text: str) -> bytes | None:
        """Return the name of the prepared statement, prepared now if it was not."""
        if self._prepared is None:
            return None
        name = self._prepared.get(text)
        if name is None and len(self._prepared) < _MOST_PREPARED:
            name = self._prepared[text] = f"smsgw_{len(self._prepared)}".encode()
            self._pgconn.send_prepare(name, _numbered(text))
            self._expected += 1
        return name

    def _exchange(self) -> "pq.abc.PGresult":
        """Send all, receive all, and return the last result."""
        self._pgconn.pipeline_sync()
        wait: Callable[[Any], Any] = self._driver.wait
        wait(generators.send(self._pgconn))
        # What ends the pipeline has a result, too.
        results: list[pq.abc.PGresult] = [
            wait(generators.fetch_many(self._pgconn))[-1] for _ in range(self._expected + 1)
        ]
        self._expected = 0
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result)
        return results[-2]


@lru_cache(maxsize=512)
def _numbered(text: str) -> bytes:
    """Return the statement with `$1` where psycopg writes `%s`."""
    first, *others = text.split("%s")
    numbered = first + "".join(f"${place}{part}" for place, part in enumerate(others, start=1))
    return numbered.replace("%%", "%").encode()
