"""nginx with TLS before a server, configured by deploy/nginx.conf as it stands but for ports and paths."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import places
from .places import ROOT, Server

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def is_installed() -> bool:
    """Whether there is an nginx to start."""
    return shutil.which("nginx") is not None


@contextmanager
def before(server: Server, folder: Path) -> Iterator[str]:
    """The URL of a proxy in front of the server; it has as many processes as there are cores, as Debian's has."""
    folder.mkdir()
    make_certificate(folder)
    port = places.free_port()
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            command_line(folder, port, places.free_port(), server.port, "worker_processes auto;"),
            stdout=log,
            stderr=log,
        )
    try:
        places.wait_for_port(port)
        yield f"https://{places.HOST}:{port}"
    finally:
        places.end(process)


def command_line(
    folder: Path, port: int, plain_port: int, server_port: int, more: str = ""
) -> list[str]:
    """Its command line, with the file in a configuration such as Debian's."""
    site = replaced(
        (ROOT / "deploy" / "nginx.conf").read_text(),
        {
            "listen 80;": f"listen 127.0.0.1:{plain_port};",
            "443 ssl": f"127.0.0.1:{port} ssl",
            "server_name sms.example.org": "server_name localhost",
            "/etc/letsencrypt/live/sms.example.org/fullchain.pem": f"{folder}/certificate.pem",
            "/etc/letsencrypt/live/sms.example.org/privkey.pem": f"{folder}/key.pem",
            "/var/log/nginx": str(folder),
            "127.0.0.1:8000": f"127.0.0.1:{server_port}",
        },
    )
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    # Debian's user could not write in a temporary folder.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"{user} {more} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log {folder}/access.log; {paths}\n{site}\n}}"
    )
    return ["nginx", "-c", str(configuration), "-p", str(folder)]


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with these parts replaced; each of them must be in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def make_certificate(folder: Path) -> None:
    """Makes a certificate for localhost and its key."""
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*making, *files, *names], check=True, capture_output=True)
