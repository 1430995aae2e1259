"""Who takes part: devices and CRMs, made straight in the database."""

import base64
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from smsgw import clock
from smsgw.core.accounts import crms, enrolment
from smsgw.store.db import Database


@dataclass(frozen=True)
class People:
    """Devices as (name, password), and one CRM's id and key."""

    logins: list[tuple[str, str]]
    crm_id: str
    crm_key: str

    @property
    def crm_header(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.crm_key}", "Content-Type": "application/json"}


def basic(login: tuple[str, str]) -> str:
    """The value of the Authorization header of a device."""
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def make(url: str, device_count: int, name: str = "phone") -> People:
    """Makes `phone-0` and so on, and a CRM that may use them all."""
    database = Database(url)
    with database.transaction() as session:
        now = clock.now()
        logins = [_add(session, f"{name}-{number}", now) for number in range(device_count)]
        crm, key = crms.add(session, "bench", None, now)
        crm_id = crm.id
    database.close()
    return People(logins, crm_id, key)


def _add(session: Session, name: str, now: datetime) -> tuple[str, str]:
    return name, enrolment.add_with_password(session, name, None, None, now)[1]
