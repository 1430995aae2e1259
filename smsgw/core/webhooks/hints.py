"""Says what to do about an attempt that failed, and about a delivery that has not arrived."""

from collections.abc import Mapping
from typing import Any

from ... import program
from . import delivery_statuses

_SIGNATURE = (
    "The receiver takes the signature for a wrong one, or wants a password. Copy the headers and the body as your "
    "program got them into “Check a signature” on the webhook's page of the dashboard: it says which secret signed, "
    "or which mistake was made."
)
_HINTS: dict[int | str, str] = {
    401: _SIGNATURE,
    403: _SIGNATURE,
    404: "The receiver has nothing at this path: compare the URL with the one in your program.",
    405: "The receiver takes no POST at this path: compare the URL with the one in your program.",
    410: "The receiver says that it is gone for good, so the webhook was switched off.",
    413: "The receiver takes smaller bodies only: raise the limit of its web server.",
    429: "The receiver asks to be called less often. It is tried again later, more slowly.",
    "timeout": "The receiver did not answer in time: have it answer at once, and work on the event afterwards.",
    "dns": "The name in the URL is not known: compare the URL, and ask the DNS from the server.",
    "address_refused": "This server may not call this address: SMSGW_WEBHOOK_ALLOWED_NETWORKS allows private ones, "
    "once the server is started again with it.",
    "connection_refused": "Nothing listens at this address and port: start the receiver, or open its firewall.",
    "connection_failed": "The address cannot be reached: look at the network and the firewall between.",
    "connection_lost": "The receiver closed the connection before it answered: look at its log.",
    "tls": "The receiver's certificate is not trusted or does not fit its name, or it speaks plain http at this port: "
    "renew the certificate, or give this server your own authority's file in SSL_CERT_FILE.",
    "protocol": "What answers there does not speak HTTP: compare the port in the URL.",
    "invalid_url": "The URL cannot be used: give the webhook another one.",
}
_REDIRECTS = "Redirects are not followed: use the URL that it leads to."
_OWN_FAULT = "The receiver failed by itself: look at its log."
_REFUSED = "The receiver refuses the event: look at its answer and at its log."


def hint(attempt: Mapping[str, Any] | None) -> str | None:
    """Return what to do about an attempt that failed, if that is known; `None` for one that succeeded."""
    if attempt is None:
        return None
    code = attempt["status_code"]
    if code is None:
        return _HINTS.get(attempt["error"])
    if code in _HINTS or 200 <= code <= 299:
        return _HINTS.get(code)
    return _REDIRECTS if code < 400 else _OWN_FAULT if code >= 500 else _REFUSED


def next_step(delivery: Mapping[str, Any]) -> str | None:
    """Return what to do about a delivery, with its `last_attempt`, and whether its endpoint `is_enabled`, `is_failing`.

    `None` if it arrived, or is to be sent now for the first time.
    """
    last, endpoint_id = delivery["last_attempt"], delivery["endpoint_id"]
    status, words = delivery["status"], hint(last) or ""
    if status == delivery_statuses.DELIVERED:
        return None
    if not delivery["is_enabled"]:
        enable = program.line(f"webhook enable {endpoint_id}")
        return f"{words} It is disabled, and the event waits for: {enable}".strip()
    if status == delivery_statuses.DISCARDED:
        replay = program.line(f"webhook replay {delivery['id']}")
        return f"{words} It was given up; to send it again: {replay}".strip()
    test = program.line(f"webhook test {endpoint_id}")
    if last is None:
        failing = f"It waits while the webhook fails; to see what is answered now: {test}"
        return failing if delivery["is_failing"] else None
    return f"{words} It is tried again by itself; to see what is answered now: {test}".strip()
