"""`device …`: the phones."""

import click

from .. import clock, program
from ..core import devices, registration
from ..settings import Settings
from . import output, qr
from .entry import group
from .house import opened, phone_base

device = group("device", "Phones: who they are and their secrets.")

_NAME = click.argument("device_id")
_KEY = click.option("--key", is_flag=True, help="Make a gw_live_ key, for apps that ask for one.")
_COLUMNS = (
    "device_id",
    "phone",
    "enabled",
    "online",
    "last_seen_at",
    "app_version",
    "queued_count",
    "in_flight_count",
)


@output.command(device, "add")
@_NAME
@click.option("--phone", metavar="NUMBER", help="The phone's own number, such as +12025550100.")
@_KEY
def add(device_id: str, phone: str | None, key: bool) -> None:
    """Add a phone and print what to type into its app."""
    make = devices.add_with_key if key else devices.add_with_password
    with opened() as house, house.database.transaction() as session:
        region = house.settings.default_region
        _, secret = make(session, device_id, phone, region, clock.now())
    _show(house.settings, device_id, secret, key)


@output.command(device, "list")
def show_all() -> None:
    """List the phones."""
    with opened() as house, house.database.reading() as session:
        limit = house.settings.device_offline_seconds
        found = devices.shapes(session, devices.everyone(session), clock.now(), limit)
    output.rows(found, _COLUMNS, f"There is no device yet: {program.line('device add NAME')}")


@output.command(device, "rotate")
@_NAME
@_KEY
def rotate(device_id: str, key: bool) -> None:
    """Give a phone a new secret; the old one is void at once."""
    make = devices.rotate_key if key else devices.rotate
    with opened() as house, house.database.transaction() as session:
        secret = make(devices.get(session, device_id))
    _show(house.settings, device_id, secret, key)


@output.command(device, "pair")
@click.option(
    "--minutes",
    type=click.IntRange(0, 24 * 60),
    default=10,
    show_default=True,
    help="For how long; 0 closes it at once.",
)
def pair(minutes: int) -> None:
    """Let phones register themselves for a while, and CRMs by /registerCRM."""
    with opened() as house, house.database.transaction() as session:
        until = clock.rfc3339(registration.open_for(session, minutes, clock.now()))
    base = phone_base(house.settings)
    text = (
        f"Phones may register themselves at {base} until {until}, and CRMs by /registerCRM."
        if minutes
        else "Nobody may register any more."
    )
    output.say(text, {"minutes": minutes, "open_until": until, "url": base})


@output.command(device, "enable")
@_NAME
def enable(device_id: str) -> None:
    """Let a phone in again."""
    _switch(device_id, True)


@output.command(device, "disable")
@_NAME
def disable(device_id: str) -> None:
    """Refuse a phone; its queue waits."""
    _switch(device_id, False)


@output.command(device, "reset")
@_NAME
def reset(device_id: str) -> None:
    """Tell the server that a phone has forgotten everything.

    For a phone whose app was reinstalled, whose data was cleared, or that was replaced. What it has in hand fails as
    unconfirmed, because it may have sent it all the same, and it gets new messages at once.
    """
    with opened() as house, house.database.transaction() as session:
        count = devices.reset(session, devices.get(session, device_id), clock.now())
    text = (
        f"{device_id} has nothing in hand any more; {count} of its messages failed as unconfirmed."
    )
    output.say(text, {"device_id": device_id, "unconfirmed_count": count})


@output.command(device, "remove")
@_NAME
def remove(device_id: str) -> None:
    """Take a phone away; its messages stay, and what it has in hand fails as unconfirmed."""
    with opened() as house, house.database.transaction() as session:
        devices.remove(session, devices.get(session, device_id), clock.now())
    output.say(f"{device_id} was removed.", {"device_id": device_id, "removed": True})


def _switch(device_id: str, enabled: bool) -> None:
    with opened() as house, house.database.transaction() as session:
        devices.get(session, device_id).enabled = enabled
    word = "enabled" if enabled else "disabled"
    output.say(f"{device_id} is {word}.", {"device_id": device_id, "enabled": enabled})


def _show(settings: Settings, device_id: str, secret: str, is_key: bool) -> None:
    """What to type into the app; with a key, for apps that scan it too."""
    base = phone_base(settings)
    shape = devices.login_shape(device_id, secret, base)
    if not is_key:
        output.one(shape)
        return
    pairing = registration.pairing_shape(secret, base)
    output.one({**shape, **pairing} if output.wants_json() else shape)
    if not output.wants_json():
        qr.show(pairing)
