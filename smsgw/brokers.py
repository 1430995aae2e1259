"""Reads the URL of a RabbitMQ exchange: `amqps://user:password@host/vhost?exchange=smsgw`."""

from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

EXTRA = "requirements-rabbitmq.txt"
NOT_INSTALLED = f"RabbitMQ needs the package pika on the server: pip install -r {EXTRA}."
_PORTS = {"amqp": 5672, "amqps": 5671}
_LONGEST_NAME = 255  # AMQP's short string


class BrokerRefused(ValueError):
    """The URL cannot be used to publish; the message says why, for the person who typed it."""


@dataclass(frozen=True)
class Broker:
    """A broker, our login there, and the exchange to publish to."""

    scheme: str
    host: str
    port: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    virtual_host: str
    exchange: str


def is_broker(url: str) -> bool:
    """Return whether this URL is meant for RabbitMQ."""
    return url.lower().startswith(("amqp://", "amqps://"))


def check(url: str) -> None:
    """Raise `BrokerRefused` when no event could be published with this URL, or this server cannot publish at all."""
    read(url)
    if find_spec("pika") is None:
        raise BrokerRefused(NOT_INSTALLED)


def read(url: str) -> Broker:
    """Return the parts of the URL, percent-decoded; raise `BrokerRefused` if they are unusable.

    By RabbitMQ's URI specification, with its usual defaults: the user guest and the virtual host `/`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise BrokerRefused("The URL cannot be read.") from None
    return Broker(
        parts.scheme,
        parts.hostname or "",
        port,
        unquote(parts.username or "guest"),
        unquote("guest" if parts.password is None else parts.password),
        _virtual_host(parts),
        _exchange(parts),
    )


def _virtual_host(parts: SplitResult) -> str:
    path = parts.path.removeprefix("/")
    if "/" in path:
        raise BrokerRefused("The virtual host has a slash in it: write it as %2F.")
    return unquote(path) or "/"


def _exchange(parts: SplitResult) -> str:
    wanted = parse_qsl(parts.query, keep_blank_values=True)
    unknown = [name for name, _ in wanted if name != "exchange"]
    if unknown:
        raise BrokerRefused(f"There is no option {unknown[0][:40]!r}; there is only exchange.")
    names = [value for _, value in wanted]
    if len(names) != 1 or not 1 <= len(names[0].encode()) <= _LONGEST_NAME:
        raise BrokerRefused("The URL must name one exchange: amqps://host/vhost?exchange=NAME.")
    return names[0]
