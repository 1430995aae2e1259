"""Divides the lists of phones into pages by name, so that a change of state neither hides nor repeats one."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from flask import request

from ..core.devices import limit_states, registry, silences
from ..settings import Settings
from ..store.db import Session
from ..store.models import Device

PAGE_SIZE = 100
WAITING, PROBLEM, OTHER = range(3)


class DevicePage(NamedTuple):
    """The phones of a page by name, and the cursor of the next page, `None` on the last one.

    A list that fits on one page has those first that wait for approval or have a problem; the first page of a longer
    one has these in `troubled` as well.
    """

    troubled: list[Device]
    rows: list[Device]
    next_cursor: str | None


def typed() -> str:
    """Return the part of a name that the query of this request asks for, empty for all phones."""
    return request.args.get("q", "").strip()


def ranks(
    session: Session, devices: Sequence[Device], settings: Settings, now: datetime
) -> dict[str, int]:
    """Return for each phone by name whether it waits for approval, has a problem, or neither."""
    silent = silences.of_devices(session, [device.id for device in devices])
    held = limit_states.held(session, devices, settings, now)

    def rank(device: Device) -> int:
        if not device.approved:
            return WAITING
        is_online = registry.is_online(device, now, settings.device_offline_seconds)
        has_problem = not is_online or device.id in silent or device.id in held
        return PROBLEM if device.enabled and has_problem else OTHER

    return {device.id: rank(device) for device in devices}


def page(devices: Sequence[Device], rank: Callable[[Device], int] = lambda _: OTHER) -> DevicePage:
    """Return the page of this request: the phones that match its search, after its cursor."""
    part, after = typed().casefold(), request.args.get("cursor", "")
    found = sorted(
        (each for each in devices if part in each.id.casefold()), key=lambda each: each.id
    )
    later = [device for device in found if device.id > after]
    rows = later[:PAGE_SIZE]
    if len(rows) == len(found):
        return DevicePage([], sorted(rows, key=rank), None)
    troubled = [] if after else sorted((row for row in found if rank(row) != OTHER), key=rank)
    return DevicePage(troubled, rows, rows[-1].id if len(later) > PAGE_SIZE else None)
