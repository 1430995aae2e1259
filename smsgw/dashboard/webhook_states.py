"""Says how a webhook does, and what to do about an answer of its receiver."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from ..core.webhooks import endpoints

PAUSED = "failing, paused"

_SIGNATURE = (
    "The receiver takes the signature for a wrong one, or wants a password. Copy the headers and the body as your "
    "program got them into “Check a signature” on the webhook's page: it says which secret signed, or which mistake "
    "was made."
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
    "address_refused": "This server may not call this address: SMSGW_WEBHOOK_ALLOWED_NETWORKS allows private ones.",
    "connection_refused": "Nothing listens at this address and port: start the receiver, or open its firewall.",
    "connection_failed": "The address cannot be reached: look at the network and the firewall between.",
    "connection_lost": "The receiver closed the connection before it answered: look at its log.",
    "tls": "The receiver's certificate is not trusted or does not fit its name: renew it, or give this"
    " server your own authority's file in SSL_CERT_FILE.",
    "protocol": "What answers there does not speak HTTP: compare the port in the URL.",
}
_REDIRECTS = "Redirects are not followed: use the URL that it leads to."
_OWN_FAULT = "The receiver failed by itself: look at its log."


class WebhookState(NamedTuple):
    """Its place in the list, its state (`ok`, `warning`, `wrong` or empty), and the word for it."""

    order: int
    state: str
    word: str


def of(shape: Mapping[str, Any], now: datetime) -> WebhookState:
    """Return how an endpoint does: failing ones first, then disabled ones, then all others."""
    if not shape["enabled"]:
        is_by_hand = shape["disabled_reason"] == endpoints.BY_HAND
        return WebhookState(2, "", "disabled") if is_by_hand else WebhookState(1, "wrong", "off")
    if shape["failing_since"]:
        until = shape["paused_until"]
        is_paused = until is not None and datetime.fromisoformat(until) > now
        return WebhookState(0, "wrong", PAUSED if is_paused else "failing")
    return (
        WebhookState(3, "ok", "works") if shape["last_success_at"] else WebhookState(3, "", "new")
    )


def hint(attempt: Mapping[str, Any] | None) -> str | None:
    """Return what to do about an attempt that failed, if that is known."""
    if attempt is None:
        return None
    code = attempt["status_code"]
    if code is None:
        return _HINTS.get(attempt["error"])
    if code in _HINTS or 200 <= code <= 299:
        return _HINTS.get(code)
    return _REDIRECTS if code < 400 else _OWN_FAULT if code >= 500 else None
