"""Decides whether devices or CRMs may register without a key: by a setting, or for some minutes by an operator.

Phones and CRMs each have their own registration, which is opened separately.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...errors import Forbidden
from ...settings import Settings
from ...store import audit
from ...store.inserts import InsertNew
from ...store.models import Pairing


class _Opening(NamedTuple):
    id: int
    open_until: datetime


_NEVER_OPENED = datetime(2000, 1, 1, tzinfo=UTC)
_NEW_OPENINGS = InsertNew(Pairing, _Opening, conflict_on=[Pairing.id], returning=Pairing.id)


@dataclass(frozen=True)
class Registration:
    """The terms of registration: with one of `keys` at any time; `command` opens it to all for a time (see its row)."""

    row_id: int
    name: str
    command: str
    keys: str
    is_always_open: Callable[[Settings], bool]

    def open_for(self, session: Session, minutes: int, now: datetime) -> datetime:
        """Open registration for some minutes from now, and return when it ends; 0 closes it."""
        until = now + timedelta(minutes=minutes)
        _NEW_OPENINGS.new(session, [_Opening(self.row_id, until)])
        session.execute(
            sa.update(Pairing).where(Pairing.id == self.row_id).values(open_until=until)
        )
        action = "open" if minutes else "close"
        fields = {"open_until": [None, until]}
        audit.note(session, "registration", self.name, action, self.name, fields)
        return until

    def lock(self, session: Session) -> None:
        """Make other registrations wait until the commit, because simultaneous ones would not see each other."""
        _NEW_OPENINGS.new(session, [_Opening(self.row_id, _NEVER_OPENED)])
        is_this = Pairing.id == self.row_id
        session.execute(sa.select(Pairing.id).where(is_this).with_for_update())

    def is_open(self, session: Session, settings: Settings, now: datetime) -> bool:
        """Return whether somebody without a key may register now."""
        if self.is_always_open(settings):
            return True
        until = self.open_until(session)
        return until is not None and until > now

    def open_until(self, session: Session) -> datetime | None:
        """Return until when an operator has opened it, which may be in the past; `None` if nobody ever has."""
        return session.scalar(sa.select(Pairing.open_until).where(Pairing.id == self.row_id))

    def check_open(self, session: Session, settings: Settings, now: datetime) -> None:
        """Raise `Forbidden` with what the operator has to do, unless registration is open."""
        if not self.is_open(session, settings, now):
            raise Forbidden(
                f"registration is closed; an operator opens it with the command '{self.command}'",
                code="registration_closed",
            )


PHONES = Registration(
    1,
    "devices",
    "device pair",
    "an operator's or a CRM's",
    lambda settings: settings.open_registration,
)
CRMS = Registration(
    2, "crms", "crm pair", "an operator's", lambda settings: settings.open_crm_registration
)


def pairing_shape(key: str, base_url: str) -> dict[str, str]:
    """Return what MySMSAPio's app reads from a QR code."""
    return {
        "api_key": key,
        "api_base_url": base_url,
        "websocket_url": f"ws{base_url.removeprefix('http')}/cable",
        "version": "1.0",
    }
