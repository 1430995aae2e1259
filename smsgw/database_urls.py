"""Reads the URL of a database as PostgreSQL's own programs write it, several hosts included."""

import re
from urllib.parse import parse_qsl, unquote, urlencode

DEFAULT_PORT = "5432"

_POSTGRESQL = re.compile(
    r"(?P<driver>postgres(?:ql)?(?:\+psycopg)?)://(?P<user>(?:[^:/?@]*(?::[^@]*)?@)?)(?P<hosts>[^/?]*)"
    r"(?P<database>/[^?]*)?(?:\?(?P<query>.*))?"
)
_ANY_DRIVER = re.compile(r"(postgres(?:ql)?)\+\w+:")
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?")

Pairs = list[tuple[str, str]]


class BadDatabaseUrl(ValueError):
    """The URL cannot be used; the text says why and shows nothing of it that may be secret."""


def postgresql(url: str) -> str:
    """Write the URL as SQLAlchemy and libpq both take it: `host=a,b&port=1,2` where there are several hosts."""
    found = _POSTGRESQL.fullmatch(url)
    if found is None:
        raise BadDatabaseUrl(_fault(url))
    if "@" in found["hosts"]:
        raise BadDatabaseUrl("write each @ of the password as %40")
    query = parse_qsl(found["query"] or "", keep_blank_values=True)
    hosts = [one for text in found["hosts"].split(",") if text for one in [_host(text)]]
    hosts = hosts or _hosts_of(query)
    for _, port in hosts:
        _check(port)
    start = f"postgresql://{found['user']}"
    database = found["database"] or ""
    if len(hosts) < 2:
        rest = f"?{found['query']}" if found["query"] else ""
        return f"{start}{found['hosts']}{database}{rest}"
    others = [(name, value) for name, value in query if name not in ("host", "port")]
    several = [
        ("host", ",".join(host for host, _ in hosts)),
        ("port", ",".join(port or DEFAULT_PORT for _, port in hosts)),
    ]
    return f"{start}{database or '/'}?{urlencode(several + others, safe=',/:')}"


def _host(text: str) -> tuple[str, str]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise BadDatabaseUrl("a host cannot be read")
    return unquote(found["host"]).strip("[]"), found["port"] or ""


def _hosts_of(query: Pairs) -> list[tuple[str, str]]:
    """Return the hosts of `host=a&host=b`, of `host=a:1&host=b:2` and of `host=a,b&port=1,2`."""
    hosts = [text for name, value in query if name == "host" for text in value.split(",")]
    ports = [text for name, value in query if name == "port" for text in value.split(",")]
    if not ports:
        return [(text, "") if text.startswith("/") else _host(text) for text in hosts]
    if len(ports) not in (1, max(1, len(hosts))):
        raise BadDatabaseUrl(f"there are {len(hosts)} hosts and {len(ports)} ports")
    ports = ports * max(1, len(hosts)) if len(ports) == 1 else ports
    return list(zip(hosts or [""], ports, strict=True))


def _check(port: str) -> None:
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise BadDatabaseUrl("a port is no number from 1 to 65535")


def _fault(url: str) -> str:
    if _ANY_DRIVER.match(url):
        return "the only driver for PostgreSQL is psycopg: begin with postgresql://"
    if url.startswith(("postgresql:", "postgres:")):
        return "it must be like postgresql://user:password@host/name"
    return "it must begin with sqlite:/// or postgresql://"
