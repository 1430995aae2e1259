"""Makes an operator, a device and a CRM at the first start, once."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Crm, Device, FeedBase, Operator
from ..accounts import crms, enrolment, operators

OPERATOR, DEVICE, CRM = "admin", "phone-1", "default"


@dataclass(frozen=True)
class Made:
    """The things that were made, with the secrets that are shown this once."""

    operator_name: str
    operator_key: str
    device_id: str
    device_password: str
    crm_id: str
    crm_name: str
    crm_key: str


def make_first(session: Session, now: datetime) -> Made | None:
    """Make the three if none of them ever existed, else return `None`. Of simultaneous calls, one makes them."""
    # A row that always exists: simultaneous calls wait for each other.
    session.scalars(sa.select(FeedBase.id).with_for_update()).one()
    if not is_empty(session):
        return None
    operator_key = operators.add(session, OPERATOR, now)
    _, password = enrolment.add_with_password(session, DEVICE, None, None, now)
    crm, crm_key = crms.add(session, CRM, None, now)
    return Made(OPERATOR, operator_key, DEVICE, password, crm.id, crm.name, crm_key)


def is_empty(session: Session) -> bool:
    """Return whether there never was an operator, a device or a CRM."""
    return not any(session.scalar(sa.select(sa.exists(table))) for table in _everyone())


def _everyone() -> tuple[sa.Select[int], ...]:
    return tuple(sa.select(sa.literal(1)).select_from(table) for table in (Operator, Device, Crm))
