"""Checks which URLs may receive events: as a webhook endpoint, or as `callbackUrl` of the CRM WebSocket API."""

from typing import NewType

from ... import brokers
from ...addresses import AddressRefused, Guard, NameUnknown, check_url
from ...allowed_addresses import AllowedHost, Network
from ...brokers import BrokerRefused
from ...errors import Invalid

LONGEST_URL = 2048

Allowed = tuple[Network | AllowedHost, ...]
# A URL that `checked` or `checked_callback` let through.
Checked = NewType("Checked", str)


def checked(url: str, allowed: Allowed) -> Checked:
    """Return the URL, if a webhook may go there; private networks must be `allowed`. Raises `Invalid`.

    Asks the DNS, so call it before a transaction begins.
    """
    _check_length(url)
    try:
        if brokers.is_broker(url):
            brokers.check(url)
        check_url(url, Guard(allowed))
    except (BrokerRefused, AddressRefused) as error:
        raise Invalid.sentence("url", str(error)) from None
    return Checked(url)


def checked_callback(url: str, allowed: Allowed) -> Checked:
    """Check a `callbackUrl` in the same way: no broker, but a name that the DNS will know later.

    This permits nothing more: the guard checks again at each delivery.
    """
    _check_length(url)
    if not url.lower().startswith(("https://", "http://")):
        raise Invalid.sentence("url", "The URL must begin with https:// or http://.")
    try:
        check_url(url, Guard(allowed))
    except NameUnknown:
        return Checked(url)
    except AddressRefused as error:
        raise Invalid.sentence("url", str(error)) from None
    return Checked(url)


def _check_length(url: str) -> None:
    if len(url) > LONGEST_URL:
        raise Invalid.sentence("url", f"The URL has more than {LONGEST_URL:,} characters.")
