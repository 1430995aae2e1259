"""Sends, lists, cancels and resends SMS as the operator: `send`, `messages`, `message`, `cancel`, `resend`."""

from datetime import datetime

import click

from .. import clock, ids
from ..core.accounts import crms
from ..core.messages import archive, endings, queueing, reading, resending
from ..core.messages import json as message_json
from ..core.messages.drafts import Draft
from ..core.messages.filters import MessageFilters
from ..core.webhooks import deliveries
from ..errors import IllegalTransition
from ..sms import statuses
from . import message_view, options, output
from .context import opened
from .entry import root

_COLUMNS = ("id", "direction", "status", "device_id", "from", "to", "content", "created_at")
_LEAST = ("direction", "device_id", "from")
_ID = click.argument("message_id")


@output.command(root, "send")
@options.CRM
@click.option("--to", required=True, metavar="NUMBER", help="The recipient, such as +12025550123.")
@click.option("--content", required=True, metavar="TEXT", help="The text to send.")
@click.option("--device", "device_id", metavar="ID", help="The only phone that may send it.")
@click.option("--reference", help="Your ID for the message; a repeat with it sends no second SMS.")
def send(
    crm_name: str, to: str, content: str, device_id: str | None, reference: str | None
) -> None:
    """Queue an SMS."""
    draft = Draft(to=to, content=content, device_id=device_id, reference=reference)
    with opened() as context, context.database.transaction() as session:
        crm = crms.get(session, crm_name)
        queued = queueing.queue_one(session, crm, context.settings, draft, clock.now())
        answer = message_json.message(queued.message)
    output.one(answer)


@output.command(root, "messages")
@options.CRM_FILTER
@click.option("--device", "device_id", metavar="ID", help="Only those of this phone.")
@click.option(
    "--direction", type=click.Choice(["inbound", "outbound"]), help="Only this direction."
)
@click.option(
    "--status",
    type=click.Choice([*statuses.OUTBOUND, *statuses.INBOUND]),
    metavar="STATUS",
    help="Only messages with this status, such as delivered.",
)
@click.option(
    "--stuck", "is_stuck", is_flag=True, help="Only messages that a phone has had for too long."
)
@options.SINCE
@click.option(
    "--limit",
    type=options.Number(1, 10_000),
    default=50,
    show_default=True,
    help="The most messages to list.",
)
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
    if before is not None and not ids.is_id(before, "msg"):
        raise click.UsageError(f"--before takes the id of a message, msg_..., not {before!r}")
    filters = MessageFilters(
        device_id=device_id, direction=direction, status=status, is_stuck=is_stuck, since=since
    )
    with opened() as context, context.database.reading() as session:
        crm_ids = None if crm_name is None else [crms.get(session, crm_name).id]
        page, next_cursor = reading.page(session, crm_ids, context.settings, filters, before, limit)
        found = [message_json.message(row) for row in page]
    output.rows(found, _COLUMNS, "No messages found.", least=_LEAST, block=message_view.block)
    if next_cursor is not None and not output.wants_json():
        click.echo(f"For older messages, add: --before {next_cursor}", err=True)


@output.command(root, "message")
@_ID
def show(message_id: str) -> None:
    """Show where a message is and what to do about it.

    Its history, its dispatches to phones and the webhooks about it follow.
    """
    with opened() as context, context.database.reading() as session:
        row = archive.get(session, message_id)
        answer, step = reading.explained(session, row, context.settings, clock.now())
        webhooks = deliveries.of_message(session, row.id)
    if output.wants_json():
        output.print_json(answer)
    else:
        message_view.show(answer, step, webhooks)


@output.command(root, "cancel")
@_ID
def cancel(message_id: str) -> None:
    """Cancel a message that no phone has yet."""
    with opened() as context, context.database.transaction() as session:
        row = archive.get(session, message_id)
        endings.cancel_for_operator(session, row, clock.now())
        answer = message_json.message(row)
    output.one(answer)


@output.command(root, "resend")
@_ID
@click.option("--may-duplicate", is_flag=True, help="Resend even if the phone may have sent it.")
def resend(message_id: str, may_duplicate: bool) -> None:
    """Resend a message that failed, expired or is stuck."""
    again = resending.queue_anyway if may_duplicate else resending.queue
    with opened() as context, context.database.transaction() as session:
        row = archive.get(session, message_id)
        try:
            again(session, row, context.settings, clock.now())
        except IllegalTransition as error:
            if error.code != "may_duplicate":
                raise
            text = "the phone may have sent this message; add --may-duplicate to resend it anyway"
            raise IllegalTransition(text, code=error.code) from None
        answer = message_json.message(row)
    output.one(answer)
