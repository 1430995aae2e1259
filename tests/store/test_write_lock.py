"""The order of the processes that write to an SQLite file, and what becomes of it when one of them fails."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw.store.db import Database
from smsgw.store.write_lock import WriteLock

PATIENCE_SECONDS = 60.0
MakeLock = Callable[[], WriteLock]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeLock]:
    """Makes locks as separate processes have them: each opens the files anew."""
    made: list[WriteLock] = []

    def lock() -> WriteLock:
        made.append(WriteLock(str(tmp_path / "smsgw.db")))
        return made[-1]

    yield lock
    for one in made:
        one.close()


@contextmanager
def holder(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has the lock until it ends."""
    program = (
        "import sys, time; from smsgw.store.write_lock import WriteLock;"
        "lock = WriteLock(sys.argv[1]); lock.acquire(time.monotonic() + 60);"
        "print('has it', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def soon() -> float:
    return time.monotonic() + PATIENCE_SECONDS


def is_free(lock: WriteLock) -> bool:
    """Whether another could have the lock now."""
    with open(lock._lock._path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def wait_until_blocked(lock: WriteLock, count: int) -> None:
    """Waits until the kernel has so many in its queues for the two files."""
    numbers = {os.stat(file._path).st_ino for file in (lock._next, lock._lock)}
    deadline = soon()
    while blocked_on(numbers) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def blocked_on(numbers: set[int]) -> int:
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sum(fields[1] == "->" and int(fields[6].split(":")[2]) in numbers for fields in lines)


def test_those_who_wait_are_let_in_in_the_order_they_came(make: MakeLock) -> None:
    first, order = make(), list[int]()
    first.acquire(soon())
    threads = []

    def write(number: int, lock: WriteLock) -> None:
        lock.acquire(soon())
        order.append(number)
        lock.release()

    for number in range(5):
        threads.append(threading.Thread(target=write, args=(number, make())))
        threads[-1].start()
        wait_until_blocked(first, number + 1)
    first.release()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert order == [0, 1, 2, 3, 4]


def test_who_had_the_lock_comes_after_who_waits_for_it(make: MakeLock) -> None:
    """Where two processes always want to write, neither does twice while the other waits."""
    busy, other = make(), make()
    is_over, times = threading.Event(), list[float]()

    def write() -> None:
        while not is_over.is_set():
            other.acquire(soon())
            times.append(time.monotonic())
            other.release()

    busy.acquire(soon())
    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(10):
        wait_until_blocked(busy, 1)
        count = len(times)
        busy.release()
        busy.acquire(soon())
        assert len(times) > count
    is_over.set()
    busy.release()
    thread.join(PATIENCE_SECONDS)


def test_the_lock_of_a_process_that_was_killed_is_free(make: MakeLock, tmp_path: Path) -> None:
    with holder(tmp_path / "smsgw.db") as process:
        threading.Timer(0.2, process.send_signal, [signal.SIGKILL]).start()
        make().acquire(soon())
        assert process.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_a_process_that_hangs_with_the_lock_is_waited_for_no_longer_than_said(
    make: MakeLock,
) -> None:
    hanging, other, third = make(), make(), make()
    hanging.acquire(soon())
    began = time.monotonic()
    for _ in range(2):
        other.acquire(time.monotonic() + 0.1)
        other.release()
    assert 0.2 <= time.monotonic() - began < PATIENCE_SECONDS
    assert not is_free(hanging)
    hanging.release()
    # Nobody wants any more what the other has waited for in vain.
    third.acquire(soon())
    third.release()
    other.acquire(soon())


def test_a_child_that_was_forked_holds_nothing_of_its_parent(make: MakeLock) -> None:
    parent, other = make(), make()
    parent.acquire(soon())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    parent._lock.close()
    other.acquire(soon())
    assert not is_free(parent)
    os.close(writer)
    assert os.waitpid(child, 0)[1] == 0
    os.close(reader)


def test_a_lock_file_that_was_removed_is_made_again(make: MakeLock, tmp_path: Path) -> None:
    one, other = make(), make()
    one.acquire(soon())
    one.release()
    for file in tmp_path.iterdir():
        file.unlink()
    other.acquire(soon())
    one.acquire(time.monotonic() + 0.05)
    assert not is_free(one)
    other.release()
    one.acquire(soon())


def test_files_that_cannot_be_locked_are_reported_once_and_nobody_waits(
    make: MakeLock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for lock in (make(), make()):
        lock.acquire(soon())
        lock.release()
        lock.acquire(soon())
    assert caplog.text.count("no file can be locked") == 1


def test_in_a_folder_where_no_file_can_be_made_the_database_is_written_without_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    open_file = os.open

    def refuse(path: str, *rest: Any, **more: Any) -> int:
        if str(path).endswith(("-lock", "-next")):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return open_file(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    database = Database(f"sqlite:///{tmp_path / 'smsgw.db'}")
    database.create()
    with database.transaction() as session:
        session.execute(sa.text("create table t (x)"))
    database.close()
    assert "Read-only file system" in caplog.text


def test_a_program_that_only_reads_makes_no_lock_files(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'smsgw.db'}")
    database.create()
    assert not database.has_tables()
    database.close()
    assert not [file.name for file in tmp_path.iterdir() if file.name.endswith(("-lock", "-next"))]
