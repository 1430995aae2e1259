"""Checks the certificate at SMSGW_PUBLIC_URL, if that can be reached from this machine."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from ...settings import Settings
from .finding import Finding

RENEW_WITHIN = timedelta(days=14)
TIMEOUT_SECONDS = 5.0
_RENEW = "renew it, and see why that does not happen by itself (docs/https.md)"
# OpenSSL's codes: the certificate has ended, or is for another name. No phone accepts these; it may trust more CAs.
_EXPIRED, _OTHER_NAME = 10, 62


def findings(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Yield a finding if the public URL is `https`. Takes five seconds at most for each step of connecting."""
    parts = urlsplit(settings.public_url or "")
    if parts.scheme == "https" and parts.hostname:
        yield _examine(parts.hostname, parts.port or 443, now)


def _examine(host: str, port: int, now: datetime) -> Finding:
    try:
        ends_at = _end(host, port)
    except ssl.SSLCertVerificationError as error:
        return _refused(host, error)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        return Finding(
            "certificate", "ok", f"not checked: {host} cannot be reached from here ({reason})"
        )
    left = ends_at - now
    text = f"ends on {ends_at:%Y-%m-%d}, in {left.days} days"
    if left < RENEW_WITHIN:
        return Finding("certificate", "warning", text, _RENEW)
    return Finding("certificate", "ok", text)


def _end(host: str, port: int) -> datetime:
    """Return when the certificate ends; raise if it is not valid."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), TIMEOUT_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as secure,
    ):
        certificate = secure.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)


def _refused(host: str, error: ssl.SSLCertVerificationError) -> Finding:
    text = f"phones may refuse that of {host}: {error.verify_message}"
    if error.verify_code == _EXPIRED:
        return Finding("certificate", "wrong", text, _RENEW)
    if error.verify_code == _OTHER_NAME:
        return Finding("certificate", "wrong", text, f"get one for {host} (docs/https.md)")
    advice = "use one of a public CA with its whole chain; since Android 7 the app trusts no other (docs/https.md)"
    return Finding("certificate", "warning", text, advice)
