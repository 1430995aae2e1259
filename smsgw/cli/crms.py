"""Manages CRMs: `crm …`."""

from typing import Any

import click

from .. import clock, program
from ..core.accounts import crms
from ..core.devices.pairing import CRMS
from ..core.messages.recipients import HIGHEST_LOOP_GUARD
from ..core.webhooks import endpoints, urls
from ..lan import phone_base
from ..settings import Settings
from ..store.db import Session
from ..store.models import Crm
from . import options, output
from .context import opened
from .entry import group

crm = group("crm")

_NAME = click.argument("name")
_MANY_WORDS = ("stop_words", "start_words")
_DEVICES = click.option(
    "--device",
    "device_ids",
    multiple=True,
    metavar="ID",
    help="A phone that the CRM may use; repeatable.",
)


@output.command(crm, "add")
@_NAME
@click.option("--callback-url", metavar="URL", help="Send all of its events to this URL.")
@_DEVICES
def add(name: str, callback_url: str | None, device_ids: tuple[str, ...]) -> None:
    """Add a CRM and print its API key. Without --device, it may use all phones, including those added later."""
    with opened() as context:
        allowed = context.settings.webhook_allowed_networks
        url = None if callback_url is None else urls.checked(callback_url, allowed)
        with context.database.transaction() as session:
            now = clock.now()
            made, key = crms.add(session, name, list(device_ids) or None, now)
            webhook = None if url is None else _webhook(session, made, url, context.settings)
            answer = {"id": made.id, "name": made.name, "api_key": key, "webhook": webhook}
    output.once(answer)


@output.command(crm, "list")
def show_all() -> None:
    """List the CRMs. Those that are not approved registered themselves and may use only their own phones."""
    with opened() as context, context.database.reading() as session:
        found = crms.shapes(session, crms.everyone(session))
    shown = [
        {**one, "devices": "all" if one["device_ids"] is None else one["device_ids"]}
        for one in found
    ]
    columns = ("name", "id", "enabled", "approved", "devices", "created_at", "key_used_at")
    output.rows(
        shown,
        columns,
        f"There are no CRMs yet. Add one with: {program.line('crm add NAME')}",
        answer=found,
    )


@output.command(crm, "rotate")
@_NAME
def rotate(name: str) -> None:
    """Create a new API key for a CRM. The old key stops working at once."""
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        key = crms.rotate(found)
    output.once({"id": found.id, "name": found.name, "api_key": key})


@output.command(crm, "pair")
@options.MINUTES
def pair(minutes: int) -> None:
    """Let CRMs register themselves with /registerCRM for a while. Each may use only its own phones."""
    with opened() as context, context.database.transaction() as session:
        until = clock.rfc3339(CRMS.open_for(session, minutes, clock.now()))
    url = f"{phone_base(context.settings)}/registerCRM"
    text = (
        f"CRMs may register themselves with POST {url} until {until}."
        if minutes
        else "CRMs may no longer register themselves."
    )
    output.say(text, {"minutes": minutes, "open_until": until, "url": url})


@output.command(crm, "approve")
@_NAME
def approve(name: str) -> None:
    """Approve a CRM that registered itself. 'crm route' lets it use the operators' phones, and approves it too."""
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.approve(found)
    output.say(f"{found.name} is approved.", {"id": found.id, "approved": True})


@output.command(crm, "enable")
@_NAME
def enable(name: str) -> None:
    """Accept a CRM and its own phones again."""
    _switch(name, True)


@output.command(crm, "disable")
@_NAME
def disable(name: str) -> None:
    """Refuse a CRM and its own phones. Its queued messages wait until it is enabled or they expire.

    Messages for it are still received, stored and sent to its webhooks; to stop those, use 'webhook disable'.
    """
    _switch(name, False)


@output.command(crm, "remove")
@_NAME
def remove(name: str) -> None:
    """Remove a CRM with its own phones and cancel its queued messages. Its message history is kept."""
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.remove(session, found, clock.now())
    output.say(f"{found.name} was removed.", {"id": found.id, "removed": True})


@output.command(crm, "route")
@_NAME
@_DEVICES
@click.option(
    "--all-devices",
    is_flag=True,
    help="All of the operators' phones, including those added later.",
)
def route(name: str, device_ids: tuple[str, ...], all_devices: bool) -> None:
    """Set the phones that a CRM may use besides its own.

    Messages that it queued for other phones by name are cancelled.

    For example: clinic --device phone-1 --device phone-2
    """
    if bool(device_ids) == all_devices:
        raise click.UsageError("give --device ID (one or more) or --all-devices")
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.route(session, found, None if all_devices else list(device_ids), clock.now())
        (answer,) = crms.shapes(session, [found])
    _show(answer)


@output.command(crm, "limit")
@_NAME
@click.option(
    "--queue",
    type=options.LIMIT,
    help="The most messages in its queue; 0 for the server's setting.",
)
@click.option(
    "--requests",
    type=options.LIMIT,
    help="The most requests per minute; 0 for the server's setting.",
)
@click.option(
    "--loop-guard",
    type=options.Number(0, HIGHEST_LOOP_GUARD),
    help="How often the same text may go to a number in 30 minutes; 0 for no limit.",
)
def limit(name: str, queue: int | None, requests: int | None, loop_guard: int | None) -> None:
    """Limit the queue, the requests and the repeats of a CRM."""
    given = {"queue_limit": queue, "requests_per_minute": requests}
    changes = {name: value or None for name, value in given.items() if value is not None}
    if loop_guard is not None:
        changes["loop_guard"] = loop_guard
    if not changes:
        raise click.UsageError("give --queue, --requests or --loop-guard")
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.update(session, found, changes, clock.now())
        (answer,) = crms.shapes(session, [found])
    _show(answer)


@output.command(crm, "sticky")
@_NAME
@click.argument("state", type=click.Choice(["on", "off"]))
def sticky(name: str, state: str) -> None:
    """Let each number keep the phone that it last talked with.

    As long as that phone is online; otherwise another one sends.
    """
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.update(session, found, {"sticky_sender": state == "on"}, clock.now())
        (answer,) = crms.shapes(session, [found])
    _show(answer)


def _show(shape: dict[str, Any]) -> None:
    """Print a CRM, for people without the words that stop and start its messages: there are many."""
    if output.wants_json():
        output.print_json(shape)
    else:
        output.one({name: value for name, value in shape.items() if name not in _MANY_WORDS})


def _switch(name: str, enabled: bool) -> None:
    with opened() as context, context.database.transaction() as session:
        found = crms.get(session, name)
        crms.update(session, found, {"enabled": enabled}, clock.now())
    word = "enabled" if enabled else "disabled"
    output.say(f"{found.name} is {word}.", {"id": found.id, "enabled": enabled})


def _webhook(session: Session, made: Crm, url: urls.Checked, settings: Settings) -> dict[str, str]:
    endpoint, secret = endpoints.add(
        session, made, url, most=settings.webhooks_per_crm, now=clock.now()
    )
    return {"id": endpoint.id, "secret": secret}
