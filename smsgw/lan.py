"""Finds the address at which phones in the same network reach this server."""

import socket

from .settings import Settings

# An address reserved for documentation. Connecting a UDP socket to it sends nothing.
_SOMEWHERE = ("192.0.2.1", 9)


def phone_base(settings: Settings) -> str:
    """Return the URL at which phones reach the server: SMSGW_PUBLIC_URL, or one with its LAN address."""
    if settings.public_url is not None:
        return settings.public_url
    host = settings.host if settings.host not in ("0.0.0.0", "::", "") else own_address()
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def own_address() -> str:
    """Return this machine's address in its network, or 127.0.0.1 if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_SOMEWHERE)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
