"""Manages the secrets of a webhook endpoint: which of them sign now, and how a new one replaces them."""

from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.orm import Session

from ... import ids
from ...clock import rfc3339
from ...errors import Invalid
from ...store.models import WebhookEndpoint
from . import endpoints

GRACE_SECONDS = 24 * 3600
LONGEST_GRACE_SECONDS = 30 * 24 * 3600
_MOST_SECRETS = 10


class HasSecrets(Protocol):
    """An endpoint, or a row with its secrets."""

    @property
    def secrets(self) -> list[dict[str, str | None]]:
        """See `WebhookEndpoint`."""


def rotate(session: Session, endpoint: WebhookEndpoint, grace_seconds: int, now: datetime) -> str:
    """Give the endpoint a new secret and return it; for `grace_seconds` the old ones sign too.

    0 makes the old ones void at once, for a secret that has leaked. Raises `Invalid`.
    """
    if not 0 <= grace_seconds <= LONGEST_GRACE_SECONDS:
        raise Invalid.sentence("grace_seconds", f"grace_seconds is 0 to {LONGEST_GRACE_SECONDS}.")
    endpoints.lock(session, endpoint)
    last = rfc3339(now + timedelta(seconds=grace_seconds))
    old = [
        {"secret": entry["secret"], "expires_at": min(entry["expires_at"] or last, last)}
        for entry in _live_entries(endpoint, now)
        if grace_seconds
    ]
    secret = ids.new_webhook_secret()
    new: list[dict[str, str | None]] = [{"secret": secret, "expires_at": None}]
    endpoint.secrets = new + [dict(entry) for entry in old[: _MOST_SECRETS - 1]]
    return secret


def live(endpoint: HasSecrets, now: datetime) -> list[str]:
    """Return the secrets that sign at this moment, newest first."""
    return [str(entry["secret"]) for entry in _live_entries(endpoint, now)]


def _live_entries(endpoint: HasSecrets, now: datetime) -> list[dict[str, str | None]]:
    moment = rfc3339(now)
    return [
        entry
        for entry in endpoint.secrets
        if entry["expires_at"] is None or entry["expires_at"] > moment
    ]
