"""Devices that register themselves: only while an operator has opened the door, for ever or for some minutes."""

from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import Forbidden
from ..settings import Settings
from ..store.inserts import InsertNew
from ..store.models import Pairing

_ROW = 1


class _Opening(NamedTuple):
    id: int
    open_until: datetime


_NEW_OPENINGS = InsertNew(Pairing, _Opening, conflict_on=[Pairing.id], returning=Pairing.id)


def open_for(session: Session, minutes: int, now: datetime) -> datetime:
    """Opens registration for some minutes from now and returns when it ends; 0 closes it."""
    until = now + timedelta(minutes=minutes)
    _NEW_OPENINGS.new(session, [_Opening(_ROW, until)])
    session.execute(sa.update(Pairing).where(Pairing.id == _ROW).values(open_until=until))
    return until


def is_open(session: Session, settings: Settings, now: datetime) -> bool:
    """Whether whoever comes now may register a device."""
    if settings.open_registration:
        return True
    until = session.scalar(sa.select(Pairing.open_until).where(Pairing.id == _ROW))
    return until is not None and until > now


def check_open(session: Session, settings: Settings, now: datetime) -> None:
    """Raises `Forbidden` with what the operator has to do, unless registration is open."""
    if not is_open(session, settings, now):
        raise Forbidden(
            "registration is closed; an operator opens it with the command 'device pair'",
            code="registration_closed",
        )


def pairing_shape(key: str, base_url: str) -> dict[str, str]:
    """What MySMSAPio's app reads from a QR code."""
    return {
        "api_key": key,
        "api_base_url": base_url,
        "websocket_url": f"ws{base_url.removeprefix('http')}/cable",
        "version": "1.0",
    }
