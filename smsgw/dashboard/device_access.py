"""Finds the devices that the signed-in person may see: for a clerk of some CRMs, those that these may use."""

from ..core.devices import registry, routing
from ..core.operations.finding import Finding
from ..errors import NotFound
from ..store.db import Session
from ..store.models import Device
from . import visitors

# What these checks find is a CRM's own.
_OF_CRMS = ("crm", "webhook", "bulk", "queue", "numbers")


def everyone(session: Session) -> list[Device]:
    """Return the devices that this person may see, by name."""
    return of(registry.everyone(session), names(session))


def of(devices: list[Device], visible: set[str] | None) -> list[Device]:
    """Return those of these devices that have one of these names, `None` for all."""
    return devices if visible is None else [device for device in devices if device.id in visible]


def get(session: Session, device_id: str) -> Device:
    """Return the device. Raises `NotFound` if the person may not see it."""
    found, visible = registry.get(session, device_id), names(session)
    if visible is not None and found.id not in visible:
        raise NotFound(f"no device {device_id[:80]!r}")
    return found


def may_see(finding: Finding, visible: set[str] | None) -> bool:
    """Return whether a person who may see these devices (`None` for all) may see the finding."""
    kind, _, name = finding.check.partition(" ")
    if visible is None:
        return True
    return name in visible if kind == "device" else kind not in _OF_CRMS


def names(session: Session) -> set[str] | None:
    """Return the names of the devices that this person may see, `None` for all."""
    wanted = visitors.access(session).crms
    if wanted is None:
        return None
    return routing.usable_by_any(session, wanted)
