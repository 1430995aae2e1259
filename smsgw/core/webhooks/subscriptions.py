"""Checks the subscriptions of an endpoint: to existing events, and to devices that its CRM may use."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from ...errors import Invalid
from ...store.models import Crm
from ..devices import routing
from ..events import recording


def checked_types(event_types: Sequence[str] | None) -> list[str] | None:
    """Return each name once; `None` means all. Raises `Invalid` for an event that does not exist."""
    if event_types is None:
        return None
    unknown = [name for name in event_types if name not in recording.TYPES]
    if unknown:
        known = ", ".join(recording.TYPES)
        raise Invalid.sentence(
            "events", f"There is no event {unknown[0][:80]!r}; there are {known}."
        )
    if not event_types:
        raise Invalid.sentence("events", "Name at least one event, or leave 'events' out for all.")
    return list(dict.fromkeys(event_types))


def checked_devices(
    session: Session, crm_id: str, device_ids: Sequence[str] | None
) -> list[str] | None:
    """Return each name once; `None` means all. Raises `Invalid` for a device that the CRM may not use."""
    if device_ids is None:
        return None
    usable = set(routing.device_ids_of(session, session.get_one(Crm, crm_id)))
    unknown = [device_id for device_id in device_ids if device_id not in usable]
    if unknown:
        raise Invalid.sentence(
            "device_ids", f"There is no device {unknown[0][:80]!r}.", code="unknown_device"
        )
    if not device_ids:
        raise Invalid.sentence(
            "device_ids", "Name at least one device, or leave 'device_ids' out for all."
        )
    return list(dict.fromkeys(device_ids))
