"""Serves `/admin/devices`: the phones, adding one, and letting phones register themselves for a while."""

from typing import Any

from flask import redirect, url_for

from .. import clock
from ..core.accounts import ownership
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices.pairing import PHONES
from ..http.context import services
from . import (
    device_access,
    device_logins,
    device_pages,
    finding_links,
    navigation,
    registration_forms,
    rendering,
)
from .blueprint import blueprint
from .device_logins import ShownLogin
from .guards import allows

navigation.add("Devices", "devices", role=VIEWER, icon="smartphone", order=20)
finding_links.add("devices", "Look at the phones", lambda _: url_for("dashboard.devices"))


@blueprint.get("/devices")
@allows(VIEWER)
def devices() -> Any:
    """List the phones; those that wait for approval and those with a problem come first."""
    return _devices()


@blueprint.post("/devices/add")
@allows(OPERATOR, confirmed=True)
def add_device() -> Any:
    """Add a phone and show its login once."""
    return _devices(device_logins.add())


@blueprint.post("/devices/pair")
@allows(OPERATOR)
def open_registration() -> Any:
    """Let phones register themselves for some minutes; 0 ends that."""
    registration_forms.open_as_sent(PHONES, "Phones")
    return redirect(url_for("dashboard.devices"), 303)


def _devices(login: ShownLogin | None = None) -> Any:
    now, settings = clock.now(), services().settings
    with services().database.reading() as session:
        everyone = device_access.everyone(session)
        ranks = device_pages.ranks(session, everyone, settings, now)
        page = device_pages.page(everyone, lambda device: ranks[device.id])
        troubled = page.troubled[: device_pages.PAGE_SIZE]
        rows = list({row.id: row for row in (*troubled, *page.rows)}.values())
        shapes = {row["device_id"]: row for row in ownership.shapes(session, rows, settings, now)}
        open_until = PHONES.open_until(session)
    return rendering.render(
        "devices.html",
        title="Devices",
        state="warning" if any(rank != device_pages.OTHER for rank in ranks.values()) else None,
        is_searchable=len(everyone) > device_pages.PAGE_SIZE,
        has_devices=bool(everyone),
        troubled=[shapes[row.id] for row in troubled],
        more_troubled=len(page.troubled) - len(troubled),
        devices=[shapes[row.id] for row in page.rows],
        next_cursor=page.next_cursor,
        typed=device_pages.typed(),
        login=login,
        **registration_forms.shown(PHONES, open_until, now),
    )
