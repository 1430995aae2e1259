"""Makes one HTTP request with libcurl: its options, its allowed addresses, and the part of the answer that is kept."""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pycurl

from .. import __version__
from ..addresses import Guard
from ..core.webhooks.retries import AttemptResult
from . import steps
from .curl_errors import Way, explained
from .guarded_sockets import CONNECT_SECONDS
from .http_answers import head_of, retry_after, text_of
from .kept_connections import KeptConnections

HEAD_BYTES = 65_536
KEPT_BYTES = 4096
REUSED_WITHIN_SECONDS = 1
OWN_HEADERS = {
    "User-Agent": f"smsgw/{__version__}",
    "Accept-Encoding": "identity",
    "Accept": "*/*",
    "Connection": "keep-alive",
    "Expect": "",  # otherwise libcurl asks before it sends a large body
}
OPTIONS = {
    pycurl.NOSIGNAL: True,
    pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
    pycurl.PATH_AS_IS: True,
    pycurl.PROXY: "",  # no proxy from the environment either
    pycurl.CONNECTTIMEOUT_MS: int(1000 * CONNECT_SECONDS),
    pycurl.DNS_CACHE_TIMEOUT: 0,
    # Servers close idle connections after 2 s (gunicorn), 5 s (Node, uvicorn, Apache) or more; a request sent at
    # that moment is lost.
    pycurl.MAXAGE_CONN: REUSED_WITHIN_SECONDS,
}


@dataclass(frozen=True)
class Request:
    """A POST. `url` has no user and password, `seconds` is the time limit for all of it."""

    url: str
    scheme: str
    host: str
    headers: Mapping[str, str]
    body: bytes
    seconds: float


class Exchange:
    """A request, the part of its answer received so far, and `on_result`. `options` are added to `OPTIONS`.

    `is_unsent` says that nothing was sent, because the kept connection had ended: begin again with a new one.
    """

    def __init__(
        self,
        request: Request,
        guard: Guard,
        options: Mapping[int, Any],
        now: Callable[[], datetime],
        kept: KeptConnections,
        on_result: Callable[[AttemptResult | None], None],
    ) -> None:
        self.on_result = on_result
        self.is_unsent = False
        self._request = request
        self._guard = guard
        self._options = options
        self._now = now
        self._started_at = now()
        self._began = time.monotonic()
        self._heads = bytearray()
        self._body = bytearray()
        self._refused: list[str] = []
        self._port: int | None = None
        self._kept = kept
        self._is_open = False
        self._is_sent = False

    def begin(self) -> pycurl.Curl:
        """Return a handle with all options set."""
        request, curl = self._request, pycurl.Curl()
        begins_again, self.is_unsent = self.is_unsent, False
        headers = {**OWN_HEADERS, **request.headers}
        for option, value in {
            **OPTIONS,
            **self._options,
            pycurl.URL: request.url,
            pycurl.HTTPHEADER: [f"{name}: {value}" for name, value in headers.items()],
            pycurl.POSTFIELDS: request.body,
            pycurl.TIMEOUT_MS: max(1, int(1000 * (request.seconds - self._seconds()))),
            pycurl.FRESH_CONNECT: begins_again,
            pycurl.OPENSOCKETFUNCTION: self._open,
            pycurl.PREREQFUNCTION: self._permit_once,
            pycurl.HEADERFUNCTION: self._keep_head,
            pycurl.WRITEFUNCTION: self._keep_body,
        }.items():
            curl.setopt(option, value)
        return curl

    def result(self, curl: pycurl.Curl, code: int, why: str) -> AttemptResult:
        """Return the result. Once the header is complete its status counts, whatever happened to the body."""
        self._kept.note(curl)
        made = partial(AttemptResult, started_at=self._started_at, duration_seconds=self._seconds())
        head = head_of(bytes(self._heads))
        if head is None:
            request = self._request
            way = Way(
                request.scheme,
                request.host,
                self._port,
                request.seconds,
                self._refused,
                self._is_open,
            )
            error, detail = explained(curl, code, why, way)
            return made(error=error, detail=detail)
        text = text_of(bytes(self._body), head)
        wait = retry_after(head.header.get("retry-after"), self._now())
        return made(status_code=head.status_code, response_text=text, retry_after_seconds=wait)

    def _open(self, _purpose: int, address: Any) -> "_Lent | int":
        """Return a socket for the address that libcurl connects to, if allowed: the DNS cannot change in between."""
        return steps.attempt("open a socket", partial(self._opened, address)) or pycurl.SOCKET_BAD

    def _opened(self, address: Any) -> "_Lent | None":
        host, port = address.addr[:2]
        if not self._guard.permits_over(self._request.scheme, host, port, self._request.host):
            self._refused.append(host)
            self._port = port
            return None
        self._is_open = True
        return _Lent(address.family, address.socktype, address.protocol)

    def _permit_once(self, *addresses: Any) -> int:
        """Let libcurl send the request once, and not on a connection that has ended. Called before it sends.

        Where a kept connection ends before the answer begins, libcurl silently repeats the request on the next one, up
        to five times, although the receiver may have read each. One attempt is one request.
        """
        is_kept = not self._is_open
        self.is_unsent = not self._is_sent and is_kept and self._kept.has_ended(addresses)
        is_refused = self._is_sent or self.is_unsent
        self._is_sent = not self.is_unsent
        word: int = pycurl.PREREQFUNC_ABORT if is_refused else pycurl.PREREQFUNC_OK
        return word

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _keep_head(self, line: bytes) -> int:
        """Keep a line of the header. Returns 0, which ends the transfer, where the header is too large."""
        self._heads += line
        return len(line) if len(self._heads) <= HEAD_BYTES else 0

    def _keep_body(self, piece: bytes) -> int:
        """Keep the beginning of the body. Returns less than it got, to end the transfer, where the body is larger."""
        kept = piece[: KEPT_BYTES - len(self._body)]
        self._body += kept
        return len(kept)


class _Lent(socket.socket):
    """A socket of which libcurl takes a duplicate. This one closes as soon as nothing refers to it."""

    def __del__(self) -> None:
        self.close()
