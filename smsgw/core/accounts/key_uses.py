"""Stores when each CRM's key was last used, to the minute, so that most requests write nothing."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Crm
from ...store.queries import Change
from ...store.tables import plain

_EVERY = timedelta(minutes=1)
_AT: sa.BindParameter[datetime] = sa.bindparam("at", type_=Crm.key_used_at.type)
_USE = Change(
    sa.update(plain(Crm))
    .where(
        Crm.id == sa.bindparam("crm_id", type_=sa.String),
        sa.or_(Crm.key_used_at.is_(None), Crm.key_used_at < _AT),
    )
    .values({Crm.key_used_at: _AT})
)


class KeyUses:
    """The uses that this process has seen and not written yet."""

    def __init__(self) -> None:
        self._noted: dict[str, datetime] = {}
        self._unwritten: dict[str, datetime] = {}

    def note(self, crm_id: str, at: datetime) -> bool:
        """Note that the CRM's key was used; return whether there is something to write, once a minute."""
        noted = self._noted.get(crm_id)
        if noted is not None and noted <= at < noted + _EVERY:
            return False
        self._noted[crm_id] = self._unwritten[crm_id] = at
        return True

    def write(self, session: Session) -> None:
        """Write the uses; what cannot be written is noted again a minute later."""
        # In one order everywhere, so that two transactions wait for each other and do not deadlock.
        uses = [
            {"crm_id": crm_id, "at": self._unwritten.pop(crm_id)}
            for crm_id in sorted(self._unwritten)
        ]
        if uses:
            _USE.run_each(session, uses)

    def __bool__(self) -> bool:
        return bool(self._unwritten)
