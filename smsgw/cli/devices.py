"""Manages the phones: `device …`."""

import click

from .. import clock, program
from ..core.accounts import crms, enrolment, ownership
from ..core.devices import registry
from ..core.devices.pairing import PHONES, pairing_shape
from ..settings import Settings
from . import output, qr
from .context import opened, phone_base
from .entry import group

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
    "crm",
    "approved",
)


@output.command(device, "add")
@_NAME
@click.option("--phone", metavar="NUMBER", help="The phone's own number, such as +12025550100.")
@_KEY
def add(device_id: str, phone: str | None, key: bool) -> None:
    """Add a phone and print what to type into its app."""
    make = enrolment.add_with_key if key else enrolment.add_with_password
    with opened() as context, context.database.transaction() as session:
        region = context.settings.default_region
        _, secret = make(session, device_id, phone, region, clock.now())
    _show(context.settings, device_id, secret, key)


@output.command(device, "list")
def show_all() -> None:
    """List the phones: `crm` is the one a phone belongs to, and who is not approved registered itself and waits."""
    with opened() as context, context.database.reading() as session:
        limit = context.settings.device_offline_seconds
        found = ownership.shapes(session, registry.everyone(session), clock.now(), limit)
    output.rows(found, _COLUMNS, f"There is no device yet: {program.line('device add NAME')}")


@output.command(device, "rotate")
@_NAME
@_KEY
def rotate(device_id: str, key: bool) -> None:
    """Give a phone a new secret; the old one is void at once."""
    make = enrolment.rotate_key if key else enrolment.rotate
    with opened() as context, context.database.transaction() as session:
        secret = make(session, registry.get(session, device_id), clock.now())
    _show(context.settings, device_id, secret, key)


@output.command(device, "pair")
@click.option(
    "--minutes",
    type=click.IntRange(0, 24 * 60),
    default=10,
    show_default=True,
    help="For how long; 0 closes it at once.",
)
def pair(minutes: int) -> None:
    """Let phones register themselves for a while; each waits for 'device approve' then."""
    with opened() as context, context.database.transaction() as session:
        until = clock.rfc3339(PHONES.open_for(session, minutes, clock.now()))
    base = phone_base(context.settings)
    text = (
        f"Phones may register themselves at {base} until {until}; "
        f"then let each in: {program.line('device approve NAME')}"
        if minutes
        else "No phone may register itself any more."
    )
    output.say(text, {"minutes": minutes, "open_until": until, "url": base})


@output.command(device, "approve")
@_NAME
def approve(device_id: str) -> None:
    """Let in a phone that registered itself."""
    with opened() as context, context.database.transaction() as session:
        ownership.approve(session, registry.get(session, device_id))
    output.say(f"{device_id} is approved.", {"device_id": device_id, "approved": True})


@output.command(device, "assign")
@_NAME
@click.option("--crm", metavar="NAME", help="The CRM it belongs to, which then uses it alone.")
@click.option("--operators", is_flag=True, help="Nobody's: all CRMs that may use all devices.")
def assign(device_id: str, crm: str | None, operators: bool) -> None:
    """Say whose a phone is; what others have queued for it that may not use it any more is cancelled.

    Its secret stays. A CRM that registered it knows that secret: rotate it where that CRM must not go on with it.
    """
    if (crm is None) != operators:
        raise click.UsageError("give --crm NAME or --operators")
    with opened() as context, context.database.transaction() as session:
        owner = None if crm is None else crms.get(session, crm)
        device = registry.get(session, device_id)
        has_known_secret = device.owner_crm_id not in (None, owner.id if owner else None)
        ownership.assign(session, device, owner, clock.now())
    name = None if owner is None else owner.name
    text = f"{device_id} belongs to {name or 'the operators'}."
    if has_known_secret:
        text += f" The CRM it belonged to may know its secret: 'device rotate {device_id}' makes a new one."
    output.say(text, {"device_id": device_id, "crm": name})


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

    For a phone whose app was reinstalled or whose data was cleared; where another phone takes its place, use `device
    rotate` first. What it has in hand fails as unconfirmed, because it may have sent it all the same, and it gets new
    messages at once.
    """
    with opened() as context, context.database.transaction() as session:
        count = enrolment.reset(session, registry.get(session, device_id), clock.now())
    text = (
        f"{device_id} has nothing in hand any more; {count} of its messages failed as unconfirmed."
    )
    output.say(text, {"device_id": device_id, "unconfirmed_count": count})


@output.command(device, "remove")
@_NAME
def remove(device_id: str) -> None:
    """Take a phone away; its messages stay, and what it has in hand fails as unconfirmed."""
    with opened() as context, context.database.transaction() as session:
        enrolment.remove(session, registry.get(session, device_id), clock.now())
    output.say(f"{device_id} was removed.", {"device_id": device_id, "removed": True})


def _switch(device_id: str, enabled: bool) -> None:
    with opened() as context, context.database.transaction() as session:
        registry.get(session, device_id).enabled = enabled
    word = "enabled" if enabled else "disabled"
    output.say(f"{device_id} is {word}.", {"device_id": device_id, "enabled": enabled})


def _show(settings: Settings, device_id: str, secret: str, is_key: bool) -> None:
    """What to type into the app; with a key, for apps that scan it too."""
    base = phone_base(settings)
    shape = enrolment.login_shape(device_id, secret, base)
    if not is_key:
        output.one(shape)
        return
    pairing = pairing_shape(secret, base)
    output.one({**shape, **pairing} if output.wants_json() else shape)
    if not output.wants_json():
        qr.show(pairing)
