"""Finds the addresses of this server that people copy from a page: for phones and for programs."""

import ipaddress
from urllib.parse import urlsplit

from flask import request

from .. import lan
from ..http.context import services


def for_programs() -> str:
    """Return the address under which this page was opened, or the one in the settings."""
    return services().settings.public_url or request.host_url.rstrip("/")


def for_phones() -> str:
    """Return the address for phones; a browser on the server itself may use one that phones cannot reach."""
    settings = services().settings
    host = urlsplit(request.host_url).hostname or ""
    if settings.public_url is not None or _is_loopback(host):
        return lan.phone_base(settings)
    return request.host_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
