"""How much of a rate a caller has used, and until when new devices may register themselves."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table


class RateLimit(Table):
    """A caller's theoretical arrival time (GCRA), in seconds since 1970, and whether its last request was in time."""

    __tablename__ = "rate_limits"

    key: Mapped[str] = mapped_column(primary_key=True)
    arrival: Mapped[float] = mapped_column(sa.Double, index=True)
    was_allowed: Mapped[bool]


class Pairing(Table):
    """One row, once an operator has opened registration for a while."""

    __tablename__ = "pairing"

    id: Mapped[int] = mapped_column(primary_key=True)
    open_until: Mapped[datetime]
