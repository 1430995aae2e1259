"""Sends, lists, cancels and resends SMS as the operator: `send`, `messages`, `message`, `cancel`, `resend`."""

from datetime import datetime

import click

from .. import clock
from ..core.accounts import crms
from ..core.messages import archive, endings, queueing, reading, resending
from ..core.messages import json as message_json
from ..core.messages.drafts import Draft
from ..errors import IllegalTransition
from ..sms import statuses
from . import output
from .context import opened
from .entry import root
from .times import TimeParameter

_COLUMNS = ("id", "direction", "status", "device_id", "from", "to", "content", "created_at")
_ID = click.argument("message_id")


@output.command(root, "send")
@click.option("--crm", "crm_name", required=True, metavar="NAME", help="On behalf of this CRM.")
@click.option("--to", required=True, metavar="NUMBER", help="Such as +12025550123.")
@click.option("--content", required=True, metavar="TEXT")
@click.option("--device", "device_id", metavar="ID", help="Only by this phone.")
@click.option("--reference", help="Makes a repeat harmless.")
def send(
    crm_name: str, to: str, content: str, device_id: str | None, reference: str | None
) -> None:
    """Queue an SMS."""
    draft = Draft(to=to, content=content, device_id=device_id, reference=reference)
    with opened() as context, context.database.transaction() as session:
        crm = crms.get(session, crm_name)
        taken = queueing.take_one(session, crm, context.settings, draft, clock.now())
        answer = message_json.message(taken.message)
    output.one(answer)


@output.command(root, "messages")
@click.option("--crm", "crm_name", metavar="NAME", help="Only this CRM's.")
@click.option("--device", "device_id", metavar="ID")
@click.option("--direction", type=click.Choice(["inbound", "outbound"]))
@click.option("--status", type=click.Choice([*statuses.OUTBOUND, *statuses.INBOUND]))
@click.option("--stuck", "is_stuck", is_flag=True, help="Only what a phone has had for too long.")
@click.option(
    "--since", type=TimeParameter(), help="Such as 2026-01-31, 2026-01-31T12:00:00Z or 7d."
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="Only messages older than this one.")
def show_all(
    crm_name: str | None,
    before: str | None,
    limit: int,
    device_id: str | None,
    direction: str | None,
    status: str | None,
    is_stuck: bool,
    since: datetime | None,
) -> None:
    """List messages of all CRMs, newest first."""
    with opened() as context, context.database.reading() as session:
        filters = archive.ArchiveFilters(
            crm_id=None if crm_name is None else crms.get(session, crm_name).id,
            device_id=device_id,
            direction=direction,
            status=status,
            is_stuck=is_stuck,
            since=since,
        )
        page = archive.page(session, filters, before, limit)
        found = [message_json.message(row) for row in page]
    output.rows(found, _COLUMNS, "There are no such messages.")
    if len(found) == limit and not output.wants_json():
        click.echo(f"Older ones with: --before {found[-1]['id']}", err=True)


@output.command(root, "message")
@_ID
def show(message_id: str) -> None:
    """Show a message, its history and what it waits for."""
    with opened() as context, context.database.reading() as session:
        row = archive.get(session, message_id)
        answer = reading.whole_shape(session, row, context.settings, clock.now())
    output.one(answer)


@output.command(root, "cancel")
@_ID
def cancel(message_id: str) -> None:
    """Cancel a message no phone has yet."""
    with opened() as context, context.database.transaction() as session:
        row = archive.get(session, message_id)
        endings.cancel(session, row, clock.now())
        answer = message_json.message(row)
    output.one(answer)


@output.command(root, "resend")
@_ID
@click.option("--may-duplicate", is_flag=True, help="Also where the phone may have sent it.")
def resend(message_id: str, may_duplicate: bool) -> None:
    """Send a failed, expired or stuck message once more."""
    again = resending.queue_anyway if may_duplicate else resending.queue
    with opened() as context, context.database.transaction() as session:
        row = archive.get(session, message_id)
        try:
            again(session, row, context.settings, clock.now())
        except IllegalTransition as error:
            if error.code != "may_duplicate":
                raise
            text = (
                "the phone may have sent this message; add --may-duplicate to send it all the same"
            )
            raise IllegalTransition(text, code=error.code) from None
        answer = message_json.message(row)
    output.one(answer)
