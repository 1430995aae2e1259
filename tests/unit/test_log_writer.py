"""Log lines from a thread: all of them, in order and whole, and nobody waits for their reader."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from smsgw import log_writer, logs


@pytest.fixture
def log(
    written: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, TextIO]]:
    """A pipe as standard error, written to in a thread: the descriptor to read from, and the stream."""
    reader, writer = os.pipe()
    with open(writer, "w", 1, encoding="utf-8") as stream:
        written("json")
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure("json", "INFO")
        logs.write_in_thread()
        yield reader, stream
        logging.getLogger().handlers[0].close()
    os.close(reader)


def close() -> None:
    """What logging does when the process ends."""
    logging.getLogger().handlers[0].close()


def lines(reader: int) -> list[str]:
    return [json.loads(line)["message"] for line in os.read(reader, 1_000_000).splitlines()]


def test_all_lines_are_written_in_their_order_by_the_time_the_process_ends(log):
    for number in range(300):
        logging.getLogger("x").info("line %d", number)
    close()
    logging.getLogger("x").info("after the end")
    assert lines(log[0]) == [*(f"line {number}" for number in range(300)), "after the end"]


def test_nobody_waits_for_a_log_that_is_not_read(log, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_writer, "MAX_HELD_BYTES", 20_000)
    monkeypatch.setattr(log_writer, "STOP_SECONDS", 0.05)
    text = "x" * 2000
    for _ in range(200):  # a pipe takes 64 KiB
        logging.getLogger("x").info(text)
    close()  # does not wait for ever either
    read = os.read(log[0], 1_000_000).rpartition(b"\n")[0]
    assert text in {json.loads(line)["message"] for line in read.splitlines()}


def test_what_was_lost_is_counted_where_it_is_missing(log, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_writer, "MAX_HELD_BYTES", -1)
    for _ in range(3):
        logging.getLogger("x").info("lost")
    monkeypatch.undo()
    logging.getLogger("x").info("kept")
    close()
    assert lines(log[0]) == ["3 log lines were lost, because nobody read the log", "kept"]


def test_a_descriptor_that_somebody_made_non_blocking_gets_everything(log):
    reader, stream = log
    os.set_blocking(stream.fileno(), False)
    text = "x" * 3000
    for _ in range(60):
        logging.getLogger("x").info(text)
    read = b""
    while read.count(b"\n") < 60:
        read += os.read(reader, 1_000_000)
    assert {json.loads(line)["message"] for line in read.splitlines()} == {text}


def test_lines_are_written_together_but_never_more_than_other_processes_leave_whole():
    lines = [bytes([65 + number % 20]) * (97 * number % 1500) + b"\n" for number in range(100)]
    lines.append(b"long" * 2000 + b"\n")
    chunks = list(log_writer.chunks(lines))
    assert b"".join(chunks) == b"".join(lines)
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert [len(chunk) for chunk in chunks if len(chunk) > log_writer.ATOMIC_BYTES] == [8001]
    assert len(chunks) < len(lines) / 3


def test_a_log_that_cannot_be_written_ends_nothing(written, monkeypatch: pytest.MonkeyPatch):
    written("json")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", 1, encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure("json", "INFO")
        logs.write_in_thread()
        logging.getLogger("x").info("nobody reads this")
        close()
