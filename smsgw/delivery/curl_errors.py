"""Names the errors of requests that libcurl could not finish, and describes them to people."""

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pycurl

from ..addresses import refusal

TOO_LARGE = 100  # CURLE_TOO_LARGE, which pycurl does not name
_LOST = "connection_lost", "The receiver closed the connection before it answered."
_NOT_HTTP = "protocol", "The receiver's answer is not HTTP."
_OTHER = "connection_failed", "The request could not be made (libcurl's error {code})."
_CAUSES = {
    pycurl.E_COULDNT_RESOLVE_HOST: ("dns", "{host} cannot be found: no address in the DNS."),
    pycurl.E_OK: _LOST,  # libcurl takes an incomplete header for a complete one
    pycurl.E_GOT_NOTHING: _LOST,
    pycurl.E_SEND_ERROR: _LOST,
    pycurl.E_RECV_ERROR: _LOST,
    pycurl.E_ABORTED_BY_CALLBACK: _LOST,  # a kept connection ended, and nothing is sent twice
    pycurl.E_PEER_FAILED_VERIFICATION: (
        "tls",
        "The receiver's certificate is not accepted: {reason}.",
    ),
    pycurl.E_SSL_CONNECT_ERROR: ("tls", "The TLS connection with the receiver failed: {reason}."),
    pycurl.E_UNSUPPORTED_PROTOCOL: _NOT_HTTP,
    pycurl.E_FTP_WEIRD_SERVER_REPLY: _NOT_HTTP,
    pycurl.E_WRITE_ERROR: _NOT_HTTP,  # the header is larger than we accept
    TOO_LARGE: _NOT_HTTP,
    pycurl.E_URL_MALFORMAT: ("invalid_url", "The URL cannot be used."),
}
_REASON = re.compile(r"(?:.*(?:: |routines::))?(.+?)(?: \(\d+\))?$")


@dataclass(frozen=True)
class Way:
    """The way of a request: `refused` are the addresses it may not use, `is_open` says that another was allowed."""

    scheme: str
    host: str
    port: int | None
    seconds: float
    refused: Sequence[str]
    is_open: bool


def explained(curl: pycurl.Curl, code: int, why: str, way: Way) -> tuple[str, str]:
    """Return the error's class and a sentence of ours: libcurl's `why` may contain more of the URL than its host."""
    number = curl.getinfo(pycurl.OS_ERRNO)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return "timeout", _lateness(curl, way)
    if code == pycurl.E_COULDNT_CONNECT:
        return _no_connection(number, way)
    if number in (errno.ECONNRESET, errno.EPIPE) or "unexpected eof" in why:
        return _LOST  # in the middle of a TLS handshake too
    error, text = _CAUSES.get(code, _OTHER)
    return error, text.format(host=way.host, reason=_reason(why), code=code)


def _lateness(curl: pycurl.Curl, way: Way) -> str:
    if not curl.getinfo(pycurl.NAMELOOKUP_TIME):
        return f"The DNS did not answer in time for {way.host}."
    if not curl.getinfo(pycurl.CONNECT_TIME):
        return f"{way.host} did not take the connection in time."
    return f"No answer within {way.seconds:g} seconds."


def _no_connection(number: int, way: Way) -> tuple[str, str]:
    if way.refused and not way.is_open:
        return "address_refused", refusal(way.scheme, way.host, way.port, list(way.refused))
    if number == errno.ECONNREFUSED:
        return "connection_refused", f"{way.host} refuses connections at this port."
    why = os.strerror(number) if number else "no route"
    return "connection_failed", f"{way.host} cannot be reached: {why}."


def _reason(why: str) -> str:
    """Return libcurl's reason for a TLS error without the function names and numbers around it."""
    found = _REASON.search(why)
    return found.group(1) if found else "the handshake failed"
