"""Creates and upgrades the database: `init` and `db …`."""

import json
from typing import Any

import click

from .. import clock
from .. import settings as settings_module
from ..core.accounts import enrolment
from ..core.operations import copy_marks, first_start, reopening
from ..core.operations.first_start import Made
from ..core.operations.reopening import Reopened
from ..lan import phone_base
from ..settings import Settings
from ..store import migrations
from . import backups, output
from .context import NotReady, unchecked
from .entry import group, root

# A number that the North American Numbering Plan reserves for fiction.
NOBODY = "+12025550123"

db = group("db")


@output.command(root, "init")
def init() -> None:
    """Create or upgrade the database. A new database gets an operator, a phone and a CRM."""
    with unchecked() as context:
        context.database.create()
        copy_marks.refuse(context.database)
        revision = migrations.upgrade(context.database)
        with context.database.transaction() as session:
            made = first_start.make_first(session, clock.now())
    # The server is started after this, so show its future address and not the last one.
    settings = settings_module.load()
    if output.wants_json():
        output.print_json({"revision": revision, **_made_json(settings, made)})
    elif made is not None:
        click.echo(_welcome(settings, made))
    else:
        click.echo("The database is up to date; its contents are unchanged.")


@output.command(db, "upgrade")
def upgrade() -> None:
    """Create or upgrade the tables."""
    with unchecked() as context:
        revision = migrations.upgrade(context.database)
    output.say(f"The database is at revision {revision}.", {"revision": revision})


@output.command(db, "check")
def check() -> None:
    """Show the revision of the tables. The exit code is 1 if they are not up to date."""
    with unchecked() as context:
        revision, head = migrations.current(context.database), migrations.head()
    answer = {"revision": revision, "head": head, "up_to_date": revision == head}
    if output.wants_json():
        output.print_json(answer)
    if revision != head:
        raise NotReady(migrations.mismatch(revision))
    if not output.wants_json():
        click.echo(f"The database is up to date, at revision {revision}.")


@output.command(db, "reopen")
def reopen() -> None:
    """Serve this database again after it was copied.

    Otherwise the server serves only the copy. If the copy had ended, what is queued here may have been sent from there,
    so it is held until you run `release`; what phones had in hand fails as unconfirmed.
    """
    with unchecked() as context:
        done = reopening.reopen(context.database, clock.now())
    answer = {
        **{"copied_to": done.other, "had_ended": done.had_ended},
        **{"held_count": done.held_count, "unconfirmed_count": done.unconfirmed_count},
    }
    output.say("\n".join(_reopened(done)), answer)


def _reopened(done: Reopened) -> list[str]:
    if not done.had_ended:
        return [f"The copy to {done.other} is given up. Nothing is held, because it had not ended."]
    return [
        f"The server may serve this database again. Never serve {done.other} beside it.",
        *(backups.stopped(done.held_count, done.unconfirmed_count)),
    ]


def _made_json(settings: Settings, made: Made | None) -> dict[str, Any]:
    if made is None:
        return {"operator": None, "device": None, "crm": None}
    return {
        "operator": {"name": made.operator_name, "key": made.operator_key},
        "device": _login(settings, made),
        "crm": {"id": made.crm_id, "name": made.crm_name, "api_key": made.crm_key},
        "docs": f"{settings.base_url}/docs",
    }


def _welcome(settings: Settings, made: Made) -> str:
    lines = [
        "The database is ready. These secrets are shown only once:",
        "",
        f"Operator key ({made.operator_name})",
        f"  {made.operator_key}",
        "",
        f"URL to enter in the phone's app ({made.device_id})",
        f"  {_login(settings, made)['url']}",
        *_https_hint(settings),
        "",
        f"Command to send an SMS as the CRM '{made.crm_name}' (the number is reserved for fiction)",
        f"  {_curl(settings, made.crm_key)}",
        "",
        "Dashboard, to sign in with the operator key",
        f"  {settings.base_url}/admin",
        "",
        "API documentation",
        f"  {settings.base_url}/docs",
        "",
    ]
    return "\n".join(lines)


def _login(settings: Settings, made: Made) -> dict[str, str]:
    return enrolment.login_shape(made.device_id, made.device_password, phone_base(settings))


def _https_hint(settings: Settings) -> list[str]:
    if phone_base(settings).startswith("https://"):
        return []
    return [
        "  Android 9 and newer refuse plain http: give the server an https address, set SMSGW_PUBLIC_URL",
        "  to it and use that address in the URL; docs/https.md shows how.",
    ]


def _curl(settings: Settings, key: str) -> str:
    body = json.dumps({"to": NOBODY, "content": "Hello from smsgw"})
    return (
        f"curl {settings.base_url}/api/v1/messages -H 'Authorization: Bearer {key}'"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )
