"""Locks numbers until the commit, so that one cannot opt out while a message to it is being queued."""

from collections.abc import Iterable

from ...sms import text_hashes
from ...store import statements
from ...store.statements import AnyConnection

# Together with the bucket it makes the key of an advisory lock; that of the migrations is a single number.
_SPACE = 0x736D7367
# Fewer than PostgreSQL has room for (64 for each of 100 connections, as it comes), however many numbers a batch has.
_BUCKETS = 2048
_LOCK = "SELECT pg_advisory_xact_lock(%s, bucket) FROM unnest(%s::int[]) AS bucket"


def take(connection: AnyConnection, numbers: Iterable[tuple[str, str]]) -> None:
    """Lock these numbers, each with the id of the CRM that it is a recipient of.

    What is read afterwards includes all that was written under the lock before. On SQLite writers run one at a time
    anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    # In one order everywhere, so that two transactions wait for each other and do not deadlock.
    buckets = sorted({text_hashes.bucket(*number, _BUCKETS) for number in numbers})
    if buckets:
        statements.execute(connection, _LOCK, (_SPACE, buckets))
