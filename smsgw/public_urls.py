"""Checks the address at which phones and people reach the server."""

from urllib.parse import urlsplit


class BadPublicUrl(ValueError):
    """An address that cannot be the server's; the message says what it must be."""


def checked(url: str) -> str:
    """Return the URL without a slash at the end; raise `BadPublicUrl` where it is more than an address."""
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an IPv6 address, or a port that is none
        has_host = False
    if not has_host or parts.scheme not in ("http", "https") or any(mark in url for mark in "@?#"):
        raise BadPublicUrl("must be like https://sms.example.org")
    if parts.path not in ("", "/"):
        address = f"{parts.scheme}://{parts.netloc}"
        raise BadPublicUrl(
            f"must have no path, because the server needs an address of its own: {address}"
        )
    return url.rstrip("/")
