"""Finds the devices that who is signed in may see: for a clerk of some CRMs, those that these may use."""

from ..core.devices import registry, routing
from ..core.operations.finding import Finding
from ..errors import NotFound
from ..store.db import Session
from ..store.models import Device
from . import visitors


def everyone(session: Session) -> list[Device]:
    """Return the devices that this person may see, by name."""
    return of(session, registry.everyone(session))


def of(session: Session, devices: list[Device]) -> list[Device]:
    """Return those of these devices that this person may see."""
    visible = _names(session)
    return devices if visible is None else [device for device in devices if device.id in visible]


def get(session: Session, device_id: str) -> Device:
    """Return the device; `NotFound` where there is none that this person may see."""
    found, visible = registry.get(session, device_id), _names(session)
    if visible is not None and found.id not in visible:
        raise NotFound(f"no device {device_id[:80]!r}")
    return found


def names_another(finding: Finding, visible: set[str]) -> bool:
    """Return whether the finding is about a device by name that is not one of these."""
    kind, _, name = finding.check.partition(" ")
    return kind == "device" and bool(name) and name not in visible


def _names(session: Session) -> set[str] | None:
    """Return the names of the devices that this person may see, `None` for all."""
    wanted = visitors.access(session).crms
    if wanted is None:
        return None
    return routing.usable_by_any(session, wanted)
