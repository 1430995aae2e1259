"""Shows what would become of a message, without sending it."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from ...settings import Settings
from ...sms import numbers
from ...sms.segments import measure
from ...store.rows import AnyCrm
from . import pace
from .drafts import Draft, check_one


def preview(
    session: Session, crm: AnyCrm, settings: Settings, draft: Draft, now: datetime
) -> dict[str, Any]:
    """Return the draft's segments and number, and the devices that may send it. Raises `Invalid` as queueing does."""
    check_one(session, crm, settings, draft, now)
    measured = measure(draft.content)
    devices = pace.devices(session, crm, settings, draft.device_id, now)
    return {
        "to": numbers.normalise(draft.to, settings.default_region),
        "encoding": measured.encoding,
        "segments": measured.segments,
        "units": measured.units,
        "units_per_segment": measured.units_per_segment,
        "units_left": measured.units_left,
        "offending": list(measured.offending),
        "devices": [{"device_id": one.device_id, "online": one.is_online} for one in devices],
    }
