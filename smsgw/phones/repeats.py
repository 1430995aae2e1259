"""Makes ids for SMS that an app reports without one, so that a repeat gets the id of the first."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from ..core.messages import phone_ids
from ..sms import phone_times
from ..sms.texts import text_of
from ..store.db import Session

# A phone's clock that was never set shows an earlier year, the same for many SMS.
_FIRST_YEAR = 2000
# Without a time of receipt an equal SMS counts as a repeat only for so long. Later it may be a new SMS, which must not
# be lost.
_REPEATED_WITHIN = timedelta(minutes=5)
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def phone_id(session: Session, device_id: str, payload: dict[str, Any], now: datetime) -> str:
    """Return the same id for the same SMS: always if it has a time of receipt, otherwise for some minutes.

    The device must be locked.
    """
    received_at = payload.get("received_at")
    moment = _exact(received_at)
    if moment is not None:
        return _digest(payload, moment.isoformat().replace("+00:00", "Z"))
    told = received_at if isinstance(received_at, str) else json.dumps(received_at, sort_keys=True)
    return _recent(session, device_id, _digest(payload, told), now)


def _recent(session: Session, device_id: str, digest: str, now: datetime) -> str:
    """Return the id that an equal SMS got some minutes ago, or a new one for this minute."""
    minute = (now - _EPOCH) // _MINUTE
    span = _REPEATED_WITHIN // _MINUTE
    # Later minutes too: another server's clock may be ahead.
    around = {f"{digest}-{minute + n}" for n in range(-span, span + 1)}
    found = phone_ids.find_latest(session, device_id, around, now - _REPEATED_WITHIN)
    return found or f"{digest}-{minute}"


def _exact(received_at: Any) -> datetime | None:
    """Return the time of receipt where it distinguishes equal SMS; a date without a time does not."""
    moment = phone_times.read(received_at)
    if moment is None or moment.year < _FIRST_YEAR:
        return None
    is_date = isinstance(received_at, str) and phone_times.is_date(received_at)
    return None if is_date else moment


def _digest(payload: dict[str, Any], received_at: str) -> str:
    sender, content = text_of(payload.get("phone_number")), text_of(payload.get("message_body"))
    told = json.dumps([sender, content, received_at])
    return f"gw-{hashlib.sha256(told.encode()).hexdigest()}"
