"""Logs refused logins with the caller's address, and slows down addresses with many of them.

The secret is checked first, so the correct secret is accepted at once, whatever its address has tried before.
"""

import ipaddress
import logging
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import NamedTuple

from flask import Flask, current_app, g

from .. import clock
from ..core.accounts import crm_keys
from ..core.devices import logins
from ..errors import TooMany
from . import credentials
from .context import current_request, services

EXTENSION = "smsgw.refusals"
# 20 at once, then one every three seconds; in each process.
AT_ONCE = 20
SECONDS_EACH = 3.0
MOST_NETWORKS = 10_000
NEW_AFTER = timedelta(hours=1)

# Some proxies include the port of the caller.
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
_LOG = logging.getLogger("smsgw.logins")


@dataclass
class _Network:
    """The time at which its refusals, at the slow rate, would have ended, and the number that were not logged."""

    arrival: float = 0.0
    silent_count: int = 0
    count: int = 0
    began_at: datetime | None = None
    last: tuple[datetime, str, str] | None = None


class RefusedNetwork(NamedTuple):
    """The refused logins of a network in this process, and what the last one tried."""

    network: str
    refused_count: int
    began_at: datetime
    last_at: datetime
    caller: str
    reason: str


class RefusedDevice(NamedTuple):
    """Since when a known device has been refused in this process for its password, and from which network."""

    began_at: datetime
    last_at: datetime
    network: str


class Refusals:
    """The refused logins of each network, an IPv4 address or an IPv6 /64, and of each device, in this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._networks: OrderedDict[str, _Network] = OrderedDict()
        self._devices: dict[str, RefusedDevice] = {}

    def count(self, network: str, moment: float) -> tuple[float, int]:
        """Count a refusal; return how early it came in seconds, and the number of early ones since the last in time."""
        with self._lock:
            seen = self._networks.setdefault(network, _Network())
            self._networks.move_to_end(network)
            if len(self._networks) > MOST_NETWORKS:
                self._networks.popitem(last=False)
            later = max(seen.arrival, moment) + SECONDS_EACH
            early_seconds = later - moment - AT_ONCE * SECONDS_EACH
            if early_seconds > 0:
                seen.silent_count += 1
                return early_seconds, seen.silent_count
            seen.arrival = later
            silent_count, seen.silent_count = seen.silent_count, 0
            return 0.0, silent_count

    def remember(self, network: str, caller: str, reason: str, device_id: str | None) -> None:
        """Remember when and how this network was refused last; after an hour without, its count begins anew."""
        now = clock.now()
        with self._lock:
            seen = self._networks.setdefault(network, _Network())
            if seen.last is None or seen.last[0] < now - NEW_AFTER:
                seen.began_at, seen.count = now, 0
            seen.count += 1
            seen.last = now, caller, reason
            if device_id is not None:
                began_at = self._began_at(device_id, now)
                self._devices[device_id] = RefusedDevice(began_at, now, network)

    def of_devices(self) -> dict[str, RefusedDevice]:
        """Return the devices whose password was refused, by name."""
        with self._lock:
            return dict(self._devices)

    def newest(self, most: int) -> list[RefusedNetwork]:
        """Return the networks that were refused last."""
        with self._lock:
            found = [
                RefusedNetwork(network, seen.count, seen.began_at, *seen.last)
                for network, seen in self._networks.items()
                if seen.began_at is not None and seen.last is not None
            ]
        return sorted(found, key=lambda one: one.last_at, reverse=True)[:most]

    def _began_at(self, device_id: str, now: datetime) -> datetime:
        before = self._devices.get(device_id)
        return now if before is None or before.last_at < now - NEW_AFTER else before.began_at


def register(app: Flask) -> None:
    """Register the count of refused logins with the app."""
    app.extensions[EXTENSION] = Refusals()


def note(caller: str, reason: str, device_id: str | None = None) -> None:
    """Log that the login of this request was refused; raise `TooMany` instead if its address has too many refusals.

    `caller` is the kind of caller that the URL needs: `device`, `crm`, `operator` or several of these.
    """
    address = current_request().remote_addr or ""
    refusals: Refusals = current_app.extensions[EXTENSION]
    network = network_of(address)
    early_seconds, silent_count = refusals.count(network, time.monotonic())
    refusals.remember(network, caller, reason, device_id)
    if early_seconds > 0:
        g.is_slowed = True
        raise TooMany(
            "too many wrong passwords or keys from this address; the correct one is accepted at once",
            code="too_many_refusals",
            retry_after_seconds=int(early_seconds) + 1,
        )
    fields = {
        "address": shown(address),
        "caller": caller,
        "device_id": device_id,
        "reason": reason,
        "unlogged_count": silent_count or None,
    }
    _LOG.warning("login refused", extra={"fields": fields})


def note_key(caller: str, key: str) -> None:
    """Log a refused key, unless it is empty or valid for another kind of caller: that is a mistake, not a guess."""
    if key and not _is_right_elsewhere(key):
        note(caller, "wrong_key")


def recent(most: int = 20) -> list[RefusedNetwork]:
    """Return the networks whose logins this process refused last, the newest first."""
    refusals: Refusals = current_app.extensions[EXTENSION]
    return refusals.newest(most)


def of_devices() -> dict[str, RefusedDevice]:
    """Return the devices whose password this process refused, by name."""
    refusals: Refusals = current_app.extensions[EXTENSION]
    return refusals.of_devices()


def network_of(address: str) -> str:
    """Return the network that is slowed together; empty if this is not an address."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return "" if found is None else str(found)


def shown(address: str) -> str:
    """Return the address for the log, or `unknown`, so that a header cannot put other text there."""
    return str(_address(address) or "unknown")


def _is_right_elsewhere(key: str) -> bool:
    database = services().database
    if crm_keys.find_caller(database, key) or logins.find_by_key(database, key, clock.now()):
        return True
    return credentials.find_person(key) is not None


def _host(text: str) -> str:
    found = _WITH_PORT.fullmatch(text)
    return text if found is None else found[1] or found[2]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(_host(text).partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
