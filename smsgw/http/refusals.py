"""Logs refused logins with the caller's address, and slows down an address that has many of them.

The secret is checked before anything else, so the right one is admitted at once, whatever its address has tried.
"""

import ipaddress
import logging
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from flask import Flask, current_app, g

from .. import clock
from ..core.accounts import crms, operators
from ..core.devices import logins
from ..errors import TooMany
from .context import current_request, services

EXTENSION = "smsgw.refusals"
# 20 at once, and from then on one in three seconds; in each process.
AT_ONCE = 20
SECONDS_EACH = 3.0
MOST_NETWORKS = 10_000

# Some proxies write the port of their caller too.
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
_LOG = logging.getLogger("smsgw.logins")


@dataclass
class _Network:
    """When all its refusals would have come at the slow rate, and how many of them have no line in the log."""

    arrival: float = 0.0
    silent_count: int = 0


class Refusals:
    """The refused logins of each network, an IPv4 address or an IPv6 /64, in this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._networks: OrderedDict[str, _Network] = OrderedDict()

    def count(self, network: str, moment: float) -> tuple[float, int]:
        """Count one, and return how many seconds too early it came and how many others did since the last in time."""
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


def register(app: Flask) -> None:
    """Let the app count its refused logins."""
    app.extensions[EXTENSION] = Refusals()


def note(caller: str, reason: str, device_id: str | None = None) -> None:
    """Log that a login of this request was refused; `TooMany`, without a line, where its address has had too many.

    `caller` is who it wanted to be: `device`, `crm`, `operator` or what all of these may be.
    """
    address = current_request().remote_addr or ""
    refusals: Refusals = current_app.extensions[EXTENSION]
    early_seconds, silent_count = refusals.count(network_of(address), time.monotonic())
    if early_seconds > 0:
        g.is_slowed = True
        raise TooMany(
            "too many wrong passwords or keys from this address; the right one is let in at once",
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
    """The same for a key, unless there is none, or it is right elsewhere: that is a mistake and no guess."""
    if key and not _is_right_elsewhere(key):
        note(caller, "wrong_key")


def network_of(address: str) -> str:
    """Return the network that is slowed as one; empty for what is no address."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return "" if found is None else str(found)


def shown(address: str) -> str:
    """Return the address as a log may have it: nothing but an address, whatever a proxy was told."""
    return str(_address(address) or "unknown")


def _is_right_elsewhere(key: str) -> bool:
    database, settings = services().database, services().settings
    if crms.find_caller(database, key) or logins.find_by_key(database, key, clock.now()):
        return True
    with database.reading() as session:
        return operators.find_by_key(session, settings, key) is not None


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
