"""Trusts the system's certificate authorities (`SSL_CERT_FILE` too) and certifi's."""

import re
import ssl
import tempfile
from pathlib import Path
from typing import IO

import certifi

# OpenSSL finds a certificate in a folder by a hash of its name.
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")


def context() -> ssl.SSLContext:
    """Return the authorities for Python's TLS."""
    made = ssl.create_default_context()
    made.load_verify_locations(certifi.where())
    return made


def file() -> IO[bytes]:
    """Return the authorities for libcurl's TLS in one file without a name, which is gone when it is closed.

    It is one file because libcurl caches what it has read from a file for the next connection, but not from a folder.
    It has no name so that nobody deletes it in the meantime.
    """
    made = tempfile.TemporaryFile()  # noqa: SIM115
    made.writelines(path.read_bytes() + b"\n" for path in _sources())
    made.flush()
    return made


def _sources() -> list[Path]:
    system = ssl.get_default_verify_paths()
    found = [Path(certifi.where())]
    if system.cafile is not None:
        found.append(Path(system.cafile))
    if system.capath is not None:
        found += [path for path in Path(system.capath).iterdir() if _HASHED.fullmatch(path.name)]
    return [path for path in found if path.is_file()]
