"""Determines where a phone's request goes and how it begins: the typed URL, its headers, redirects."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, urljoin, urlsplit

USER_AGENT = "Dalvik/2.1.0 (Linux; U; Android 9; Pretend Build/DEMO) medic.gateway.alert.generic/{}"
APP_URL = re.compile(r"https?://[^/:]*(:\d*)?.*")
NO_URL = "The phone's URL must be a valid URL, like http://DEVICE_ID:PASSWORD@HOST:PORT/PATH"
PASSWORD_SAFE = "_-!.~'()*"
PATH_SAFE = "%/:=&?~+!$,;'@()*[]"


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a request; `authorization` is the value of the header, or empty."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str = ""

    @property
    def place(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host_header}{self.path}"

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return host if self.port == usual else f"{host}:{self.port}"


def typed_url(url: str) -> Target:
    """Parse the URL as typed into the app, which takes everything before the last `@` for user and password.

    ValueError where the app says that it must be a valid URL."""
    if not APP_URL.fullmatch(url):
        raise ValueError(NO_URL)
    scheme, _, rest = url.partition("://")
    user, mark, place = rest.rpartition("@")
    return replace(
        plain_url(f"{scheme}://{place}"), authorization=basic_header(user) if mark else ""
    )


def plain_url(url: str) -> Target:
    """Parse a URL without user and password. Raises `ValueError`, which shows nothing of it, if it is invalid."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may show a password: behind a forgotten host it reads as a port
        raise ValueError(NO_URL) from None
    if not host:
        raise ValueError(NO_URL)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual = 443 if parts.scheme == "https" else 80
    return Target(parts.scheme, host, port or usual, quote(path, safe=PATH_SAFE))


def basic_header(user_info: str) -> str:
    """Return the header with the password percent-encoded and the user as typed; nothing decodes either."""
    user, colon, password = user_info.partition(":")
    text = user + colon + quote(password, safe=PASSWORD_SAFE)
    return f"Basic {base64.b64encode(text.encode('latin-1', 'replace')).decode()}"


def request_bytes(target: Target, body: bytes | None, version: str, accepts: bool) -> bytes:
    """Return a GET without `body`, a POST with one; `accepts` adds the app's Accept headers."""
    lines = [f"{'GET' if body is None else 'POST'} {target.path} HTTP/1.1"]
    lines.append(f"User-Agent: {USER_AGENT.format(version)}")
    lines += [f"Authorization: {target.authorization}"] if target.authorization else []
    if accepts:
        lines += ["Accept: application/json", "Accept-Charset: utf-8", "Cache-Control: no-cache"]
    if body is not None or not accepts:
        lines.append("Content-Type: application/json")
    lines += [f"Host: {target.host_header}", "Connection: Keep-Alive", "Accept-Encoding: gzip"]
    lines += [f"Content-Length: {len(body)}"] if body is not None else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + (body or b"")


def next_target(target: Target, posting: bool, status: int, location: str) -> Target | None:
    """Return the target of a redirect that Android follows: the same scheme only, 307 and 308 only for a GET."""
    followed = (300, 301, 302, 303) if posting else (300, 301, 302, 303, 307, 308)
    if status not in followed or not location:
        return None
    try:
        new = plain_url(urljoin(target.url, location))
    except ValueError:
        return None
    if new.scheme != target.scheme:
        return None
    return replace(new, authorization=target.authorization) if new.place == target.place else new
