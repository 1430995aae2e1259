"""Manages CRMs and operators: `crm …` and `operator …`."""

import click
from sqlalchemy.orm import Session

from .. import clock, program
from ..addresses import Guard
from ..clock import rfc3339
from ..core.accounts import crms, operators
from ..core.devices.pairing import CRMS
from ..core.webhooks import endpoints, urls
from ..settings import HIGHEST_LIMIT, Settings
from ..store.models import Crm
from . import output
from .context import opened, phone_base
from .entry import group

crm = group("crm", "Programs that send and receive SMS through this server.")
operator = group("operator", "People who run this server.")

_NAME = click.argument("name")
_LIMIT = click.IntRange(0, HIGHEST_LIMIT)
_DEVICES = click.option(
    "--device", "device_ids", multiple=True, metavar="ID", help="A device it may use; repeatable."
)


@output.command(crm, "add")
@_NAME
@click.option("--callback-url", metavar="URL", help="Where it wants its events: makes a webhook.")
@_DEVICES
def add(name: str, callback_url: str | None, device_ids: tuple[str, ...]) -> None:
    """Add a CRM and print its API key; without --device it may use all devices, future ones too."""
    with opened() as context:
        guard = Guard(context.settings.webhook_allowed_networks)
        url = None if callback_url is None else urls.checked(callback_url, guard)
        with context.database.transaction() as session:
            now = clock.now()
            made, key = crms.add(session, name, list(device_ids) or None, now)
            webhook = None if url is None else _webhook(session, made, url, context.settings)
            answer = {"id": made.id, "name": made.name, "api_key": key, "webhook": webhook}
    output.one(answer)


@output.command(crm, "list")
def show_all() -> None:
    """List the CRMs. A CRM that is not approved registered itself and may use its own devices only."""
    with opened() as context, context.database.reading() as session:
        found = crms.shapes(session, crms.everyone(session))
    shown = [
        {**one, "devices": "all" if one["device_ids"] is None else one["device_ids"]}
        for one in found
    ]
    columns = ("name", "id", "enabled", "approved", "devices", "created_at")
    output.rows_of(found, shown, columns, f"There is no CRM yet: {program.line('crm add NAME')}")


@output.command(crm, "rotate")
@_NAME
def rotate(name: str) -> None:
    """Give a CRM a new API key; the old one is void at once."""
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        key = crms.rotate(found)
    output.one({"id": found.id, "name": found.name, "api_key": key})


@output.command(crm, "pair")
@click.option(
    "--minutes",
    type=click.IntRange(0, 24 * 60),
    default=10,
    show_default=True,
    help="For how long; 0 closes it at once.",
)
def pair(minutes: int) -> None:
    """Let CRMs register themselves by /registerCRM for a while; each may use its own devices only."""
    with opened() as context, context.database.transaction() as session:
        until = clock.rfc3339(CRMS.open_for(session, minutes, clock.now()))
    url = f"{phone_base(context.settings)}/registerCRM"
    text = (
        f"CRMs may register themselves by POST {url} until {until}."
        if minutes
        else "No CRM may register itself any more."
    )
    output.say(text, {"minutes": minutes, "open_until": until, "url": url})


@output.command(crm, "approve")
@_NAME
def approve(name: str) -> None:
    """Note that you know a CRM that registered itself; 'crm route' lets it use your phones, and approves it too."""
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.approve(found)
    output.say(f"{found.name} is approved.", {"id": found.id, "approved": True})


@output.command(crm, "enable")
@_NAME
def enable(name: str) -> None:
    """Let a CRM in again, and its own phones."""
    _switch(name, True)


@output.command(crm, "disable")
@_NAME
def disable(name: str) -> None:
    """Refuse a CRM's calls and its own phones; what it has queued waits until it is enabled or its time is over.

    What comes in for it is kept, and still goes to its webhooks: 'webhook disable' stops these.
    """
    _switch(name, False)


@output.command(crm, "remove")
@_NAME
def remove(name: str) -> None:
    """Take a CRM away with its own phones and cancel what it has queued; its messages stay."""
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.remove(session, found, clock.now())
    output.say(f"{found.name} was removed.", {"id": found.id, "removed": True})


@output.command(crm, "route")
@_NAME
@_DEVICES
@click.option("--all-devices", is_flag=True, help="All of the operators' devices, future ones too.")
def route(name: str, device_ids: tuple[str, ...], all_devices: bool) -> None:
    """Set which devices a CRM may use from now on, besides its own; what it has queued for others is cancelled."""
    if bool(device_ids) == all_devices:
        raise click.UsageError("give --device ID (one or more) or --all-devices")
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.route(session, found, None if all_devices else list(device_ids), clock.now())
        (answer,) = crms.shapes(session, [found])
    output.one(answer)


@output.command(crm, "limit")
@_NAME
@click.option("--queue", type=_LIMIT, help="Messages that may wait; 0: the server's setting.")
@click.option("--requests", type=_LIMIT, help="Requests per minute; 0: the server's setting.")
def limit(name: str, queue: int | None, requests: int | None) -> None:
    """Set how much a CRM may queue and ask for."""
    if queue is None and requests is None:
        raise click.UsageError("give --queue or --requests")
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        if queue is not None:
            found.queue_limit = queue or None
        if requests is not None:
            found.requests_per_minute = requests or None
        session.flush()
        (answer,) = crms.shapes(session, [found])
    output.one(answer)


@output.command(operator, "add")
@_NAME
def add_operator(name: str) -> None:
    """Add an operator and print the key."""
    with opened() as context, context.database.transaction() as session:
        key = operators.add(session, name, clock.now())
    output.one({"name": name, "key": key})


@output.command(operator, "list")
def show_operators() -> None:
    """List the operators."""
    with opened() as context, context.database.reading() as session:
        found = [
            {"name": one.name, "created_at": rfc3339(one.created_at)}
            for one in operators.everyone(session)
        ]
    output.rows(found, ("name", "created_at"), "There is no operator yet.")


@output.command(operator, "remove")
@_NAME
def remove_operator(name: str) -> None:
    """Take an operator away; the key is void at once."""
    with opened() as context, context.database.transaction() as session:
        operators.remove(session, name)
    output.say(f"{name} was removed.", {"name": name, "removed": True})


def _switch(name: str, enabled: bool) -> None:
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        found.enabled = enabled
    word = "enabled" if enabled else "disabled"
    output.say(f"{found.name} is {word}.", {"id": found.id, "enabled": enabled})


def _webhook(session: Session, made: Crm, url: urls.Checked, settings: Settings) -> dict[str, str]:
    endpoint, secret = endpoints.add(
        session, made, url, most=settings.webhooks_per_crm, now=clock.now()
    )
    return {"id": endpoint.id, "secret": secret}
