"""One HTTP request to a webhook endpoint, with a bounded cost whatever the receiver does."""

import contextlib
import email.utils
import logging
import math
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http.client import HTTPException
from urllib.parse import urlsplit

import certifi
import requests
from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, SSLError
from urllib3.exceptions import TimeoutError as WaitedTooLong

from .. import __version__, clock
from ..addresses import Guard, Resolve
from .connections import CONNECT_SECONDS, Attempt, CallFailed, GuardedPool, GuardedTLSPool
from .watchdog import Watchdog

KEPT_BYTES = 4096
HOSTS = 32
CONNECTIONS_PER_HOST = 8
OWN_HEADERS = {
    "User-Agent": f"smsgw/{__version__}",
    "Accept-Encoding": "identity",
    "Accept": "*/*",
    "Connection": "keep-alive",
}
# Whether a request is made again is decided here and by the schedule.
NEVER_AGAIN = Retry(False, redirect=False)
# How a receiver that hung up on us shows, with TLS and without.
HUNG_UP = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
FAILURES = (CallFailed, HTTPError, HTTPException, OSError, ValueError)


@dataclass(frozen=True)
class Outcome:
    """What came of a request: either a `status_code` or an `error`, never both.

    `error` is one of `timeout`, `dns`, `address_refused`, `connection_refused`, `connection_failed`,
    `connection_lost`, `tls`, `protocol` and `invalid_url`; `detail` says it for people and holds no part of the
    URL but its host. `response_text` is the beginning of the answer's body, 4,096 bytes at most.
    """

    status_code: int | None
    error: str | None
    detail: str | None
    response_text: str
    duration_seconds: float
    retry_after_seconds: float | None

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it: 2xx and nothing else."""
        return self.status_code is not None and 200 <= self.status_code <= 299


class Transport:
    """Sends requests; one for a process, to be used by many threads at once.

    Keeps connections alive between requests. Follows no redirects, knows no cookies, and reads neither proxies
    nor passwords from the environment. Certificates are checked against the system's authorities (`SSL_CERT_FILE`
    too) and certifi's, unless a `tls` context is given.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        resolve: Resolve = socket.getaddrinfo,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        # It would write whole URLs into the log, and these may carry a receiver's token.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._guard = guard
        self._resolve = resolve
        self._now = now
        self._watchdog = Watchdog()
        self._pools = PoolManager(
            num_pools=HOSTS,
            maxsize=CONNECTIONS_PER_HOST,
            ssl_context=tls or trusting(),
            cert_reqs="CERT_REQUIRED",
        )
        self._pools.pool_classes_by_scheme = {"http": GuardedPool, "https": GuardedTLSPool}

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float
    ) -> Outcome:
        """Send `body` and report what came of it, at the latest `timeout_seconds` from now.

        A network that fails is an `Outcome`, not an exception. The deadline is by the wall clock and covers
        everything, the DNS included.
        """
        started = time.monotonic()
        with Attempt(self._guard, self._resolve, self._watchdog, timeout_seconds) as attempt:
            try:
                answer = self._exchange(attempt, url, body, {**OWN_HEADERS, **headers})
                attempt.check_in_time()
            except FAILURES as failure:
                error, detail = _explained(failure, attempt, timeout_seconds)
                return Outcome(None, error, detail, "", time.monotonic() - started, None)
            text = _beginning(answer)
        wait = retry_after(answer.headers.get("Retry-After"), self._now())
        return Outcome(answer.status, None, None, text, time.monotonic() - started, wait)

    def close(self) -> None:
        """Close the idle connections."""
        self._pools.clear()

    def _exchange(
        self, attempt: Attempt, url: str, body: bytes, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        try:
            return self._send(attempt, url, body, headers)
        except HTTPError as failure:
            # A kept connection may close at the very moment it is used again; that says nothing about the
            # receiver, so a second try is made at once. A new connection that dies is a failure.
            if attempt.is_over or attempt.is_fresh or not isinstance(_root(failure), HUNG_UP):
                raise
        return self._send(attempt, url, body, headers)

    def _send(
        self, attempt: Attempt, url: str, body: bytes, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        target, left = _target(url), attempt.remaining()
        pool = self._pools.connection_from_host(target.host, target.port, target.scheme)
        return pool.urlopen(
            "POST",
            target.path,
            body,
            {**target.headers, **headers},
            retries=NEVER_AGAIN,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            timeout=Timeout(min(CONNECT_SECONDS, left), left),
        )


@dataclass(frozen=True)
class _Target:
    """Where a URL leads; `headers` are its user and password, if it has some."""

    scheme: str
    host: str
    port: int | None
    path: str
    headers: dict[str, str]


@lru_cache(maxsize=1024)
def _target(url: str) -> _Target:
    """What requests makes of the URL: it knows IDNA, odd characters and passwords. Once for many requests."""
    prepared = requests.Request("POST", url).prepare()
    parts = urlsplit(prepared.url or "")
    login = {
        name: prepared.headers[name] for name in ("Authorization",) if name in prepared.headers
    }
    return _Target(parts.scheme, parts.hostname or "", parts.port, prepared.path_url, login)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header (RFC 9110 10.2.3), which is seconds or a date.

    `None` without the header and for nonsense; 0 for a date that has passed.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header, now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def trusting() -> ssl.SSLContext:
    """Trusts the system's authorities (`SSL_CERT_FILE` too) and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _beginning(answer: BaseHTTPResponse) -> str:
    """What the log keeps of the body. The status has been given, so a body that breaks off changes nothing."""
    kept = b""
    with contextlib.suppress(HTTPError, HTTPException, OSError):
        while len(kept) < KEPT_BYTES:
            piece = answer.read1(KEPT_BYTES - len(kept), decode_content=False)
            if not piece:
                answer.release_conn()
                break
            kept += piece
    answer.close()  # a connection with unread bytes on it is of no use to the next request
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        return "(compressed, though we asked for identity)" if kept else ""
    return kept.decode("utf-8", "replace").replace("\x00", "")


def _explained(failure: BaseException, attempt: Attempt, seconds: float) -> tuple[str, str]:
    """The short class and a sentence, made here: urllib3's own texts hold the URL with its query."""
    root = _root(failure)
    if isinstance(failure, CallFailed):
        return failure.error, failure.detail
    if attempt.is_over or isinstance(root, WaitedTooLong | TimeoutError):
        return "timeout", f"No answer within {seconds:g} seconds."
    if isinstance(root, HUNG_UP):
        return "connection_lost", "The receiver closed the connection before it answered."
    if isinstance(failure, SSLError):
        return "tls", _tls_detail(root)
    if isinstance(failure, ValueError):
        return "invalid_url", "The URL cannot be used."
    return "protocol", "The receiver's answer is not HTTP."


def _tls_detail(root: BaseException) -> str:
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"The receiver's certificate is not accepted: {root.verify_message}."
    reason = root.reason if isinstance(root, ssl.SSLError) else None
    return f"No TLS with the receiver: {reason or 'the handshake failed'}."


def _root(failure: BaseException) -> BaseException:
    """The exception at the bottom: urllib3 wraps the socket's as reason or last argument."""
    while isinstance(failure, HTTPError) and failure.args:
        inner = getattr(failure, "reason", failure.args[-1])
        if not isinstance(inner, BaseException):
            break
        failure = inner
    return failure
