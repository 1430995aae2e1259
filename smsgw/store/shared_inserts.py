"""Inserts what several threads want to insert at once in one transaction, with one fsync for them all."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import Any

import sqlalchemy as sa

from .inserts import Insert, RowBatch
from .statements import AnyConnection

# The database is gone, full or locked: without these rows or those it would be the same.
_CONCERNS_ALL = (sa.exc.OperationalError, sa.exc.TimeoutError)
# The database has refused a row, also where that is known at the COMMIT only: nothing is committed.
_CONCERNS_A_ROW = (sa.exc.IntegrityError, sa.exc.DataError)

Refusals = Sequence[Exception | None]


@dataclass(frozen=True)
class Check:
    """Asks in the transaction that writes whether rows may go in: one call with the `wanted` of all who bring it.

    `refusals` gives for each of them, in their order, why its rows are left out, or `None`.
    """

    refusals: Callable[[AnyConnection, Sequence[Any]], Refusals]
    wanted: Any


class SharedInserts:
    """One of the threads that wait takes the lead and writes for all; who comes meanwhile is in the next group.

    `transaction` begins one, commits at its end and rolls back on any exception.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[AnyConnection]]) -> None:
        self._transaction = transaction
        self._gate = Lock()
        self._waiting: list[_WaitingCaller] = []
        self._is_led = False

    def insert(self, batches: Sequence[RowBatch], check: Check | None = None) -> None:
        """Return once the rows are committed, or raise why they are not: what the check refuses, too.

        After an error of the COMMIT itself they may be there all the same: nobody writes them again.
        """
        mine = _WaitingCaller(batches, check)
        if not self._leads(mine):
            mine.signal.acquire()
        if not mine.is_done:
            self._lead()
        if mine.error is not None:
            raise copy(mine.error) from mine.error
        if not mine.is_written:
            raise RuntimeError("another thread's fault ended the shared transaction")

    def _leads(self, caller: "_WaitingCaller") -> bool:
        with self._gate:
            self._waiting.append(caller)
            is_first, self._is_led = not self._is_led, True
        return is_first

    def _lead(self) -> None:
        group: list[_WaitingCaller] = []
        try:
            self._write(group)
        finally:
            self._fill(group)
            self._hand_over()
            for caller in group:
                caller.is_done = True
                caller.signal.release()

    def _hand_over(self) -> None:
        """Wake the first who came meanwhile to lead the next group."""
        with self._gate:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].signal.release()

    def _write(self, group: "list[_WaitingCaller]") -> None:
        """Write for the group, or for all who wait once the transaction has begun."""
        is_inserted = False
        try:
            with self._transaction() as connection:
                self._fill(group)
                _insert(connection, group)
                is_inserted = True
        except (sa.exc.SQLAlchemyError, ValueError, TypeError, ArithmeticError) as error:
            self._fill(group)
            is_of_rows = isinstance(error, _CONCERNS_A_ROW) or not (
                is_inserted or isinstance(error, _CONCERNS_ALL)
            )
            if len(group) > 1 and is_of_rows:
                # One of them has a row that cannot be; nothing was committed, so each may try alone.
                for caller in group:
                    self._write([caller])
            else:
                for caller in group:
                    caller.error = error
        else:
            for caller in group:
                caller.is_written = True

    def _fill(self, group: "list[_WaitingCaller]") -> None:
        if not group:
            with self._gate:
                group += self._waiting
                self._waiting = []


class _WaitingCaller:
    """A caller that waits until `signal` is released: then it is done, or it is theirs to lead."""

    __slots__ = ("batches", "check", "error", "is_done", "is_written", "signal")

    def __init__(self, batches: Sequence[RowBatch], check: Check | None) -> None:
        self.batches = batches
        self.check = check
        self.signal = Lock()
        self.signal.acquire()
        self.is_done = self.is_written = False
        self.error: Exception | None = None


def _insert(connection: AnyConnection, group: "list[_WaitingCaller]") -> None:
    _check(connection, group)
    gathered: dict[Insert[Any], list[Any]] = {}
    for caller in group:
        if caller.error is None:
            for batch in caller.batches:
                gathered.setdefault(batch.insert, []).extend(batch.rows)
    for insert, rows in gathered.items():
        insert.grouped(connection, rows)


def _check(connection: AnyConnection, group: "list[_WaitingCaller]") -> None:
    """Note at each caller why its rows are left out, where they are."""
    asking: dict[Callable[..., Refusals], list[_WaitingCaller]] = {}
    for caller in group:
        caller.error = None
        if caller.check is not None:
            asking.setdefault(caller.check.refusals, []).append(caller)
    for refusals, callers in asking.items():
        wanted = [caller.check.wanted for caller in callers if caller.check is not None]
        for caller, refusal in zip(callers, refusals(connection, wanted), strict=True):
            caller.error = refusal
