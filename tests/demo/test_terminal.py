"""Lines for a terminal: real processes, real pipes, and a device that is always full."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.terminal import safe, say, write

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
SPEAKS = """
import sys
from demo.terminal import say, write
for number in range(3):
    say(f"line {number}")
write("the summary")
print("worked to the end", file=sys.stderr)
"""


def run(program, encoding="utf-8", **options):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, timeout=60, **options
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, Ωμέγα 😀", "Grüße, Ωμέγα 😀"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b2J \x7f", r"\x9b2J \x7f"),
        ("two\r\nlines\u2028three\tfour", r"two\r\nlines\u2028three\tfour"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("lone \ud83d x", r"lone \ud83d x"),
    ],
)
def test_what_is_not_printable_is_escaped(text, shown):
    assert safe(text) == shown


def test_what_is_safe_stays_as_it_is():
    once = safe("\x1b[31m \ud83d \\x1b")
    assert safe(once) == once


def test_a_said_text_is_one_line_with_the_time_of_day(capfd):
    say("from +1202\nSENT MORE THAN ONCE")
    printed = capfd.readouterr().out
    assert re.fullmatch(r"\d\d:\d\d:\d\d from \+1202\\nSENT MORE THAN ONCE\n", printed)


def test_written_lines_stay_lines(capfd):
    write("one\ntwo \x1b[2J")
    assert capfd.readouterr().out == "one\ntwo \\x1b[2J\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "ü 😀"), ("latin-1", r"ü \U0001f600"), ("ascii", r"\xfc \U0001f600")],
)
def test_what_the_terminals_encoding_lacks_is_escaped(encoding, shown):
    program = r"from demo.terminal import write; write('\xfc \U0001f600')"
    done = run(program, encoding, stdout=subprocess.PIPE)
    assert done.stdout.decode(encoding) == f"{shown}\n"
    assert done.stderr == b""


def test_a_reader_that_leaves_does_not_end_the_work():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody_reads:
        done = run(SPEAKS, stdout=nobody_reads)
    assert (done.returncode, done.stderr) == (0, b"worked to the end\n")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no full device")
def test_a_full_disk_does_not_end_the_work():
    with FULL.open("wb") as full:
        done = run(SPEAKS, stdout=full)
    assert (done.returncode, done.stderr) == (0, b"worked to the end\n")


def test_a_closed_standard_output_does_not_end_the_work():
    command = ["sh", "-c", '"$0" -c "$1" >&-', sys.executable, SPEAKS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"worked to the end\n")
