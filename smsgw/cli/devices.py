"""Manages phones: `device …`."""

from typing import Any

import click

from .. import clock, program
from ..core.accounts import crms, enrolment, ownership
from ..core.devices import breaker, monthly_recipients, registry
from ..core.devices.pairing import PHONES, pairing_shape
from ..lan import phone_base
from ..settings import Settings
from . import options, output, qr
from .context import opened
from .entry import group

device = group("device")

_NAME = click.argument("device_id")
_KEY = click.option(
    "--key", is_flag=True, help="Create a gw_live_ key, for apps that ask for a key."
)
_COLUMNS = (
    *("device_id", "phone", "enabled", "online", "last_seen_at", "app_version", "queued_count"),
    *("in_flight_count", "crm", "approved", "silent"),
)
_LEAST = ("app_version", "crm", "enabled", "approved", "in_flight_count", "phone")


@output.command(device, "add")
@_NAME
@click.option("--phone", metavar="NUMBER", help="The phone's own number, such as +12025550100.")
@_KEY
def add(device_id: str, phone: str | None, key: bool) -> None:
    """Add a phone and print the login to enter in its app."""
    make = enrolment.add_with_key if key else enrolment.add_with_password
    with opened() as context, context.database.transaction() as session:
        region = context.settings.default_region
        _, secret = make(session, device_id, phone, region, clock.now())
    _show(context.settings, device_id, secret, key)


@output.command(device, "list")
def show_all() -> None:
    """List the phones and the CRMs they belong to. Those that are not approved registered themselves and wait."""
    with opened() as context, context.database.reading() as session:
        everyone = registry.everyone(session)
        found = ownership.shapes(session, everyone, context.settings, clock.now())
    output.rows(
        [{**one, "silent": [silence["reason"] for silence in one["silences"]]} for one in found],
        _COLUMNS,
        f"There are no devices yet. Add one with: {program.line('device add NAME')}",
        answer=found,
        least=_LEAST,
    )


@output.command(device, "rotate")
@_NAME
@_KEY
def rotate(device_id: str, key: bool) -> None:
    """Create a new secret for a phone. The old secret stops working at once."""
    make = enrolment.rotate_key if key else enrolment.rotate
    with opened() as context, context.database.transaction() as session:
        secret = make(session, registry.get(session, device_id), clock.now())
    _show(context.settings, device_id, secret, key)


@output.command(device, "pair")
@options.MINUTES
def pair(minutes: int) -> None:
    """Let phones register themselves for a while. Each then waits for 'device approve'."""
    with opened() as context, context.database.transaction() as session:
        until = clock.rfc3339(PHONES.open_for(session, minutes, clock.now()))
    base = phone_base(context.settings)
    text = (
        f"Phones may register themselves at {base} until {until}. "
        f"Approve each with: {program.line('device approve NAME')}"
        if minutes
        else "Phones may no longer register themselves."
    )
    output.say(text, {"minutes": minutes, "open_until": until, "url": base})


@output.command(device, "approve")
@_NAME
def approve(device_id: str) -> None:
    """Approve a phone that registered itself."""
    with opened() as context, context.database.transaction() as session:
        ownership.approve(session, registry.get(session, device_id))
    output.say(f"{device_id} is approved.", {"device_id": device_id, "approved": True})


@output.command(device, "assign")
@_NAME
@click.option("--crm", metavar="NAME", help="Give the phone to this CRM alone.")
@click.option(
    "--operators",
    is_flag=True,
    help="Give the phone to the operators, for all CRMs that may use it.",
)
def assign(device_id: str, crm: str | None, operators: bool) -> None:
    """Give a phone to a CRM or to the operators.

    Messages that were queued for it by CRMs that may no longer use it are cancelled. Its secret does not change: a CRM
    that registered it knows the secret, so rotate it if that CRM must no longer be able to use the phone.
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
        text += (
            f" The previous CRM may know its secret; 'device rotate {device_id}' creates a new one."
        )
    output.say(text, {"device_id": device_id, "crm": name})


@output.command(device, "enable")
@_NAME
def enable(device_id: str) -> None:
    """Accept a phone again."""
    with opened() as context, context.database.transaction() as session:
        enrolment.enable(session, registry.get(session, device_id))
    output.say(f"{device_id} is enabled.", {"device_id": device_id, "enabled": True})


@output.command(device, "disable")
@_NAME
def disable(device_id: str) -> None:
    """Refuse a phone. Its queue waits meanwhile."""
    with opened() as context, context.database.transaction() as session:
        enrolment.disable(registry.get(session, device_id))
    output.say(f"{device_id} is disabled.", {"device_id": device_id, "enabled": False})


@output.command(device, "resume")
@_NAME
def resume(device_id: str) -> None:
    """End the pause of a phone after failures."""
    with opened() as context, context.database.transaction() as session:
        breaker.resume(session, registry.get(session, device_id))
    output.say(f"{device_id} is not paused.", {"device_id": device_id, "paused": False})


@output.command(device, "limit")
@_NAME
@click.option(
    "--per-minute",
    "segments_per_minute",
    type=options.LIMIT,
    help="Segments in 60 seconds; 0 for the server's setting.",
)
@click.option(
    "--per-hour",
    "segments_per_hour",
    type=options.LIMIT,
    help="Segments in 60 minutes; 0 for the server's setting.",
)
@click.option(
    "--per-day",
    "segments_per_day",
    type=options.LIMIT,
    help="Segments in 24 hours; 0 for the server's setting.",
)
@click.option(
    "--recipients",
    "recipients_per_month",
    type=options.LIMIT,
    help="Numbers in a calendar month (UTC); 0 for the server's setting.",
)
def limit(device_id: str, **given: int | None) -> None:
    """Set or show how much a phone is given to send.

    Without options, it shows the limits and how much of each is used. For example: front-desk --per-hour 100
    """
    wanted = {name: value or None for name, value in given.items() if value is not None}
    with opened() as context, context.database.transaction() as session:
        found = registry.get(session, device_id)
        monthly_recipients.change_limits(session, found, wanted, context.settings, clock.now())
        (shape,) = registry.shapes(session, [found], context.settings, clock.now())
    _show_usage(shape)


@output.command(device, "reset")
@_NAME
def reset(device_id: str) -> None:
    """Reset a phone that has lost its data.

    Use this when its app was reinstalled or its data was cleared; if another phone replaces it, run `device rotate`
    first. The messages that it was handed and has not sent fail as unconfirmed, because it may have sent them, and it
    gets new messages at once.
    """
    with opened() as context, context.database.transaction() as session:
        count = enrolment.reset(session, registry.get(session, device_id), clock.now())
    text = f"{device_id} was reset; {count} of its messages failed as unconfirmed."
    if count:
        text += f" To send one again: {program.line('resend ID --may-duplicate')}"
    output.say(text, {"device_id": device_id, "unconfirmed_count": count})


@output.command(device, "remove")
@_NAME
def remove(device_id: str) -> None:
    """Remove a phone. Its history is kept, and messages that it was handed and has not sent fail as unconfirmed."""
    with opened() as context, context.database.transaction() as session:
        enrolment.remove(session, registry.get(session, device_id), clock.now())
    output.say(f"{device_id} was removed.", {"device_id": device_id, "removed": True})


def _show_usage(shape: dict[str, Any]) -> None:
    rows = [
        {
            "limit": name,
            "own": shape["limits"][name],
            "applies": usage["limit"],
            "used": usage["used"],
        }
        for name, usage in shape["usage"].items()
    ]
    output.rows(rows, ("limit", "own", "applies", "used"), "", answer=shape)
    if shape["limited_until"] is not None and not output.wants_json():
        click.echo(f"It {shape['limited_reason']}; it gets more at {shape['limited_until']}.")


def _show(settings: Settings, device_id: str, secret: str, is_key: bool) -> None:
    """Print the login to enter in the app; with a key, also the QR code that apps can scan."""
    base = phone_base(settings)
    shape = enrolment.login_shape(device_id, secret, base)
    if not is_key:
        output.once(shape)
        return
    pairing = pairing_shape(secret, base)
    output.once({**shape, **pairing} if output.wants_json() else shape)
    if not output.wants_json():
        qr.show(pairing)
