"""Reads web addresses as people type them, and finds out which addresses are those of this machine."""

from __future__ import annotations

import argparse
import socket
from urllib.parse import SplitResult, urlsplit


def web_address(text: str, login: str) -> SplitResult:
    """Parse a URL for argparse; `login` says where its user name and password belong.

    No message contains the text itself, because it may hold a password."""
    if not text.lower().startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("the URL must begin with http:// or https://")
    if not (text.isascii() and text.isprintable()) or " " in text:
        message = "only ASCII characters and no spaces: é is written %C3%A9, a space %20"
        raise argparse.ArgumentTypeError(message)
    try:
        url = urlsplit(text)
        if url.port == 0 or not (url.hostname or "").encode("idna"):
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError("there is no such host or port") from error
    if "@" in url.netloc:
        raise argparse.ArgumentTypeError(f"leave the user and the password out: {login}")
    return url


def own_address() -> str:
    """Return this machine's address in its network; choosing a route sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def leads_to(url: SplitResult, listening: tuple[str, int]) -> bool:
    """Return whether requests to `url` reach the socket that listens there on this machine."""
    host, port = listening
    if (url.port or (443 if url.scheme == "https" else 80)) != port:
        return False
    try:
        found = {
            str(entry[4][0]) for entry in socket.getaddrinfo(url.hostname, port, socket.AF_INET)
        }
    except OSError:
        return False
    return host in found or (host == "0.0.0.0" and any(map(is_here, found)))


def is_here(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
