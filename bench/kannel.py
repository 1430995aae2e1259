"""Runs Debian's Kannel, bearerbox and smsbox, on loopback before the SMS centre of `smsc.py`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from smsgw.server import supervisor

from . import places, processes

PROGRAMS = ("bearerbox", "smsbox")
# Each message is kept in a file until the SMS centre has it, and what its receipts belong to in memory, as it comes.
CONFIGURATION = """
group = core
admin-port = {admin_port}
admin-interface = 127.0.0.1
admin-password = bench
smsbox-port = {box_port}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
store-type = spool
store-location = {spool}
dlr-storage = internal

group = smsc
smsc = smpp
host = 127.0.0.1
port = {smsc_port}
transceiver-mode = true
smsc-username = bench
smsc-password = bench
system-type = bench
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {port}
sendsms-interface = 127.0.0.1

group = sendsms-user
username = bench
password = bench
default-sender = 12345
"""
# As much as our server logs: no word on each byte.
LOG_LEVEL = "1"
# Kannel never syncs its spool, so a disk would keep no more of it, and would make it slower: ext4 without a journal
# takes up to 1 ms to create a file where many were removed.
IN_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Kannel:
    """A Kannel that runs: where it takes messages, its two processes, and the folder with a file for each message."""

    url: str
    pids: tuple[int, ...]
    spool: Path

    @property
    def cpu_seconds(self) -> float:
        """What both processes have used."""
        return sum(processes.usage(pid).cpu_seconds for pid in self.pids)

    def kept(self) -> int:
        """How many messages have a file."""
        return sum(path.is_file() for path in self.spool.glob("*/*"))


def send_path(to: str, text: str, receipt_url: str = "") -> str:
    """The path that queues an SMS, and asks for all receipts where they have somewhere to go."""
    values = {"username": "bench", "password": "bench", "to": to}
    if receipt_url:
        values |= {"dlr-mask": "31", "dlr-url": receipt_url}
    # The text as it is: it may have a part that wrk replaces.
    return f"/cgi-bin/sendsms?{urlencode(values)}&text={text}"


@contextmanager
def running(folder: Path, *, has_centre: bool) -> Iterator[Kannel]:
    """Kannel in a new folder, with an SMS centre, or with one that is down."""
    folder.mkdir()
    ports = {name: places.free_port() for name in ("admin_port", "box_port", "port")}
    with (
        ExitStack() as stack,
        TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else folder) as spool,
        (folder / "log").open("wb") as log,
    ):
        ports["smsc_port"] = stack.enter_context(_centre()) if has_centre else places.free_port()
        configuration = folder / "kannel.conf"
        configuration.write_text(CONFIGURATION.format(spool=spool, **ports))
        pids = []
        for program, port in zip(PROGRAMS, (ports["box_port"], ports["port"]), strict=True):
            command = [program, "-v", LOG_LEVEL, str(configuration)]
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
            stack.callback(places.end, process)
            places.wait_for_port(port)
            pids.append(process.pid)
        yield Kannel(f"http://{places.HOST}:{ports['port']}", tuple(pids), Path(spool))


@contextmanager
def _centre() -> Iterator[int]:
    """The port of an SMS centre."""
    with supervisor.listen(places.HOST, 0) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.smsc", str(listener.fileno())],
            cwd=places.ROOT,
            pass_fds=(listener.fileno(),),
        )
        try:
            yield int(listener.getsockname()[1])
        finally:
            places.end(process)
