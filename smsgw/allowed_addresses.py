"""Reads which private addresses an operator allows webhooks to reach."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_BRACKETED = re.compile(r"\[([^\]]*)\](?::(.*))?")
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True)
class AllowedHost:
    """An entry with a name or a port: `host` is a network or a name; without `port`, all its ports are allowed."""

    host: Network | str
    port: int | None = None

    def includes(self, target: Address, port: int | None, host: str | None) -> bool:
        """Return whether it is about this address and port, of a URL with this host."""
        if self.port not in (None, port):
            return False
        if isinstance(self.host, str):
            return host is not None and host.lower().rstrip(".") == self.host
        return target in self.host


def parse_allowed(text: str) -> Network | AllowedHost:
    """Read an allowed network: `10.0.0.0/8`, `10.0.0.5:8080`, `[::1]:9000`, `crm.internal:8080`; else `ValueError`."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, None
    if port is None and not _NAME.fullmatch(host.lower()):
        return ip_network(host)
    return AllowedHost(_network_or_name(host), _port(text, port))


def entry_of(host: str, port: int | None) -> str:
    """Spell the entry that `parse_allowed` reads as this host and port alone."""
    end = "" if port is None else f":{port}"
    entry = f"[{host}]{end}" if ":" in host else f"{host}{end}"
    try:
        parse_allowed(entry)
    except ValueError:  # an address in a spelling of old, such as 127.1
        return f"ADDRESS{end}"
    return entry


def _network_or_name(host: str) -> Network | str:
    name = host.lower().rstrip(".")
    return name if _NAME.fullmatch(name) else ip_network(host)


def _port(text: str, port: str | None) -> int | None:
    if port is None:
        return None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} has no port from 1 to 65535 after its colon")
    return int(port)
