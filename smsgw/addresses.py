"""Decides which network addresses a webhook may reach."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any
from urllib.parse import SplitResult, urlsplit

from .allowed_addresses import Address, AllowedHost, Network, entry_of

SETTING = "SMSGW_WEBHOOK_ALLOWED_NETWORKS"

ENCRYPTED = {"https": 443, "amqps": 5671}
PLAIN = {"http": 80, "amqp": 5672}
# Their URLs have no other place for who we are.
WITH_LOGIN = ("amqp", "amqps")

Resolve = Callable[..., list[tuple[Any, ...]]]


# Link-local, and the addresses at which clouds hand out a machine's own credentials. No setting opens these.
NEVER = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "fe80::/10",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
    )
)
# What is not a public machine in IANA's registry of special-purpose IPv4 addresses, multicast and class E.
SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# IPv6 the other way round: public machines live in 2000::/3, save for these parts of it.
PUBLIC_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
NAT64 = IPv6Network("64:ff9b::/96")
# Some router may send these to the IPv4 address in their last 32 bits; ISATAP's have this in the 32 bits before.
WITH_V4 = tuple(IPv6Network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48"))
ISATAP = (0x5EFE, 0x0200_5EFE)


class AddressRefused(ValueError):
    """A webhook may not go there; the message says why and is fit for whoever typed the URL."""


class NameUnknown(AddressRefused):
    """The DNS does not know the name now; it may do so later."""


@dataclass(frozen=True)
class Guard:
    """The operator's word on private networks: `allowed` ones may be reached, and by plain `http` too."""

    allowed: tuple[Network | AllowedHost, ...] = ()

    def permits(self, address: str, port: int | None = None, host: str | None = None) -> bool:
        """Return whether this resolved address of `host` may be reached over `https`; without a port, at every port."""
        target = _canonical(address)
        return target is not None and (self._allows(target, port, host) or _is_public(target))

    def permits_over(
        self, scheme: str, address: str, port: int | None = None, host: str | None = None
    ) -> bool:
        """Return the same for any scheme: one without TLS stays inside the allowed networks."""
        if scheme in ENCRYPTED:
            return self.permits(address, port, host)
        target = _canonical(address)
        return scheme in PLAIN and target is not None and self._allows(target, port, host)

    def _allows(self, target: Address, port: int | None, host: str | None) -> bool:
        return not _is_never(target) and any(
            one.includes(target, port, host) if isinstance(one, AllowedHost) else target in one
            for one in self.allowed
        )


def check_url(url: str, guard: Guard, resolve: Resolve = socket.getaddrinfo) -> None:
    """Raise `AddressRefused` when no webhook could be delivered to this URL, with the reason.

    Made for the moment an endpoint is created, and no protection by itself: a name may point elsewhere later,
    so `delivery` asks the guard again at every connection. `resolve` has the shape of `socket.getaddrinfo`.
    """
    parts, port = _split(url)
    host = parts.hostname or ""
    addresses = _resolved(host, port, resolve)
    if not any(guard.permits_over(parts.scheme, address, port, host) for address in addresses):
        raise AddressRefused(refusal(parts.scheme, host, port, addresses))


def refusal(scheme: str, host: str, port: int | None, addresses: list[str]) -> str:
    """Say why none of a host's addresses may be called; never name the addresses, which an inside name may hide."""
    if all(_is_never(_canonical(address)) for address in addresses):
        return (
            f"{host} is a link-local or cloud metadata address, which not even {SETTING} can allow."
        )
    if scheme in PLAIN and any(Guard().permits(address) for address in addresses):
        return (
            f"Plain {scheme} is only for networks in {SETTING}, and {host} is in none: "
            f"use {scheme}s."
        )
    return (
        f"{host} is not a public address. To allow it, start the server with {SETTING}={entry_of(host, port)} "
        "(after a comma, where others are allowed already)."
    )


def _split(url: str) -> tuple[SplitResult, int]:
    if any(character.isspace() or not character.isprintable() for character in url) or "\\" in url:
        raise AddressRefused("The URL must not contain blanks, control characters or backslashes.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("The URL cannot be read.") from None
    if parts.scheme not in (*ENCRYPTED, *PLAIN):
        raise AddressRefused(
            f"The URL must begin with https:// or amqps:// (without the s inside {SETTING} only)."
        )
    if not parts.hostname:
        raise AddressRefused("The URL names no host.")
    if "@" in parts.netloc and parts.scheme not in WITH_LOGIN:
        raise AddressRefused("The URL must not contain a user name or a password.")
    return parts, port if port is not None else {**PLAIN, **ENCRYPTED}[parts.scheme]


def _resolved(host: str, port: int, resolve: Resolve) -> list[str]:
    try:
        found = resolve(host, port, 0, socket.SOCK_STREAM)
    except OSError:
        raise NameUnknown(f"{host} cannot be found: no address in the DNS.") from None
    except UnicodeError:
        raise AddressRefused(f"{host} cannot be found: no address in the DNS.") from None
    return [entry[4][0] for entry in found]


def _canonical(address: str) -> Address | None:
    """Return the address that packets end up at: IPv4 written or wrapped as IPv6 comes out as IPv4."""
    try:
        target = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(target, IPv4Address):
        return target
    if target in NAT64:
        return IPv4Address(int(target) & 0xFFFFFFFF)
    return target.ipv4_mapped or target.sixtofour or target


def _is_public(target: Address) -> bool:
    if _is_never(target):
        return False
    if isinstance(target, IPv4Address):
        return not _is_in(target, SPECIAL_V4)
    return target in PUBLIC_V6 and not _is_in(target, SPECIAL_V6)


def _is_never(target: Address | None) -> bool:
    return any(_is_in(one, NEVER) for one in _readings(target))


def _readings(target: Address | None) -> Iterator[Address]:
    """Yield the address and the IPv4 addresses that some network takes it for."""
    if target is None:
        return
    yield target
    if isinstance(target, IPv6Address):
        yield from target.teredo or ()
        if _is_in(target, WITH_V4) or int(target) >> 32 & 0xFFFF_FFFF in ISATAP:
            yield IPv4Address(int(target) & 0xFFFF_FFFF)


def _is_in(target: Address, networks: tuple[Network, ...]) -> bool:
    return any(target in network for network in networks)
