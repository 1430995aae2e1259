"""Sends HTTP requests to webhook endpoints, at a bounded cost whatever the receiver does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pycurl

from .. import clock
from ..addresses import Guard
from ..core.webhooks.retries import AttemptResult
from ..lazy_imports import lazy
from . import certificate_authorities
from .curl_thread import CurlThread
from .http_request import Exchange, Request
from .kept_connections import KeptConnections

if TYPE_CHECKING:
    import requests
else:
    requests = lazy("requests")


class Transport:
    """Sends requests. One for each process; many threads may use it at once.

    Keeps connections alive between requests. Follows no redirects, keeps no cookies, and reads neither proxies nor
    passwords from the environment. Checks certificates against the system's authorities (`SSL_CERT_FILE` too) and
    certifi's, unless another file is given. `names` are resolved without the DNS, in the form of libcurl's option
    RESOLVE: `host:port:address,address`.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        names: Sequence[str] = (),
        trusted: str | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._guard = guard
        self._now = now
        self._authorities = certificate_authorities.file()
        trusts = trusted or f"/dev/fd/{self._authorities.fileno()}"
        self._options = {pycurl.CAINFO: trusts, pycurl.RESOLVE: list(names)}
        self._kept = KeptConnections()
        self._requests = CurlThread()

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout_seconds: float,
        on_result: Callable[[AttemptResult | None], None],
    ) -> None:
        """Begin to send `body`. `on_result` gets the result at the latest `timeout_seconds` from now.

        A network error is an `AttemptResult`, not an exception. The deadline covers all of it, the DNS too.
        `on_result` is called once, with `None` after an internal error, which was logged, from a thread that it must
        not block.
        """
        try:
            target = _target(url)
        except ValueError:
            detail = "The URL cannot be used."
            on_result(
                AttemptResult(
                    started_at=self._now(),
                    duration_seconds=0.0,
                    error="invalid_url",
                    detail=detail,
                )
            )
            return
        request = Request(
            target.url,
            target.scheme,
            target.host,
            {**target.login, **headers},
            body,
            timeout_seconds,
        )
        exchange = Exchange(request, self._guard, self._options, self._now, self._kept, on_result)
        self._requests.send(exchange)

    def close(self) -> None:
        """Abort the requests that still run without calling `on_result`, and close all connections."""
        self._requests.close()
        self._authorities.close()


@dataclass(frozen=True)
class _Target:
    """The parts of a URL. User and password are not in `url`, but as a header in `login`."""

    url: str
    scheme: str
    host: str
    login: dict[str, str]


@lru_cache(maxsize=1024)
def _target(url: str) -> _Target:
    """Return the URL as the library requests prepares it, which handles IDNA, special characters and passwords. Cached.

    Raises `ValueError`.
    """
    prepared = requests.Request("POST", url).prepare()
    parts = urlsplit(prepared.url or "")
    if parts.scheme not in ("http", "https"):
        raise ValueError("neither http nor https")
    login = {
        name: prepared.headers[name] for name in ("Authorization",) if name in prepared.headers
    }
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")
    return _Target(place.geturl(), parts.scheme, parts.hostname or "", login)
