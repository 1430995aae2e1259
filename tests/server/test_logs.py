"""The log of a running web process."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

from smsgw.server import supervisor
from smsgw.store import migrations
from smsgw.store.db import Database
from tests.running import PATIENCE_SECONDS, ROOT, Server, environment

REQUESTS = 200
SERVE = """
import sys
from smsgw import factory, settings
from smsgw.server import gunicorn_app
wanted = settings.load()
gunicorn_app.serve(wanted, factory.build_app(wanted), int(sys.argv[1]))
"""


def test_phones_are_served_while_nobody_reads_the_log_and_a_stop_loses_no_line(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/smsgw.db"
    database = Database(url)
    migrations.upgrade(database)
    database.close()
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    settings = {"SMSGW_WORKERS": "1", "SMSGW_THREADS": "2", "SMSGW_DATABASE_URL": url}
    with supervisor.listen("127.0.0.1", 0) as listener, open(reader, "rb", 0) as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(listener.fileno())],
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            env=environment(HOME=str(tmp_path), **settings),
            stderr=writer,
        )
        os.close(writer)
        server = Server(process, listener.getsockname()[1], tmp_path / "unused")
        read = b""
        try:
            while b"Booting worker" not in read:
                read += os.read(reader, 65536)
            for number in range(REQUESTS):
                assert server.request("GET", f"/nowhere-{number}")[0] == 404
            rest: list[bytes] = []
            reading = threading.Thread(target=lambda: rest.append(log.readall()))
            reading.start()
            assert server.stop() == 0
            reading.join(PATIENCE_SECONDS)
        finally:
            process.kill()
    lines = [line for line in b"".join([read, *rest]).splitlines() if b"/nowhere-" in line]
    assert [line.split(b"/nowhere-")[1].split()[0] for line in lines] == [
        str(number).encode() for number in range(REQUESTS)
    ]
