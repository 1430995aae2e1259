"""Describes to people when a device polls or connects, in words that fit its app's protocol."""

from typing import NamedTuple

from ...store.models import Device
from .protocols import CHT, MYSMSAPIO, SOCKET


class Words(NamedTuple):
    """`never` it came and `came` it has, of a device; `begin` is what to do so that it comes."""

    never: str
    came: str
    begin: str


_SEEN = Words("has never connected", "was seen", "")
_WORDS = {
    CHT: Words(
        "has never polled", "polled", "type its URL into the phone's app and switch polling on"
    ),
    MYSMSAPIO: _SEEN._replace(
        begin="scan its QR code with the app; 'device rotate ID --key' shows a new one"
    ),
    SOCKET: _SEEN._replace(
        begin="let its app open /ws with the token that registering gave it (docs/crm-websocket.md)"
    ),
}


def of(device: Device) -> Words:
    """Return the words for this device."""
    return _WORDS[device.protocol]


def how_it_gets_more(device: Device) -> str:
    """Return how a device that is online gets what is queued for it."""
    if device.protocol == CHT:
        return "at one of its next polls"
    return "over its open socket" if device.socket_id else "when it opens its socket again"
