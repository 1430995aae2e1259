"""Serves `/admin/webhooks/<id>`: the state of an endpoint, its deliveries, and checking a signature."""

from typing import Any

from flask import request, url_for

from .. import clock
from ..core.accounts.roles import VIEWER
from ..core.events import recording
from ..core.webhooks import deliveries, diagnosis, endpoints, hints, signature_checks
from ..core.webhooks import secrets as signing_secrets
from ..core.webhooks.delivery_statuses import STATUSES
from ..core.webhooks.signature_checks import Pasted, Verdict
from ..errors import Invalid
from ..http.context import services
from . import finding_links, forms, rendering, webhook_access, webhook_states
from .blueprint import blueprint
from .guards import allows

finding_links.add(
    "webhook",
    "Look at the webhook",
    lambda webhook_id: url_for("dashboard.webhook", webhook_id=webhook_id),
)

_PAGE_SIZE = 50
_PASTED = ("webhook-id", "webhook-timestamp", "webhook-signature")


@blueprint.get("/webhooks/<webhook_id>")
@allows(VIEWER)
def webhook(webhook_id: str) -> Any:
    """Show one endpoint."""
    return shown(webhook_id)


@blueprint.post("/webhooks/<webhook_id>/check")
@allows(VIEWER)
def check_signature(webhook_id: str) -> Any:
    """Show which of the endpoint's secrets made a signature, or what is wrong with it."""
    pasted = _pasted()
    with services().database.reading() as session:
        endpoint = webhook_access.endpoint(session, webhook_id)
        body = diagnosis.body_sent(session, endpoint, pasted.event_id)
        sent = None if body is None else body.encode()
        verdict = signature_checks.check(endpoint, pasted, sent, clock.now())
    forms.keep()
    return shown(webhook_id, verdict=verdict)


def shown(webhook_id: str, secret: str | None = None, verdict: Verdict | None = None) -> Any:
    """Return the page of the endpoint, with its secret if that is new."""
    now, given = clock.now(), request.args
    status = given.get("status") if given.get("status") in STATUSES else None
    with services().database.reading() as session:
        endpoint = webhook_access.endpoint(session, webhook_id)
        shape = endpoints.shape(session, endpoint)
        crm = webhook_access.crm_name(session, endpoint)
        rows, older = deliveries.page(session, endpoint, status, given.get("cursor"), _PAGE_SIZE)
        next_attempt_at = diagnosis.next_attempt_at(session, endpoint)
        failure = diagnosis.last_failure(session, endpoint)
        secret_count = len(signing_secrets.live(endpoint, now))
    how = webhook_states.of(shape, now)
    return rendering.render(
        "webhook.html",
        title="Webhook",
        state=how.state if how.state == "wrong" else None,
        webhook={**shape, "crm": crm},
        how=how,
        deliveries=rows,
        chosen=status,
        statuses=STATUSES,
        event_types=recording.TYPES,
        older=older
        and url_for("dashboard.webhook", webhook_id=webhook_id, cursor=older, status=status),
        next_attempt_at=next_attempt_at,
        is_due=next_attempt_at is not None and next_attempt_at <= now,
        failure=failure,
        hint=hints.hint(failure),
        secret=secret,
        secret_count=secret_count,
        verdict=verdict,
    )


def _pasted() -> Pasted:
    values = [_header(name) for name in _PASTED]
    body = forms.read().get("body", "").replace("\r\n", "\n")
    missing = [name for name, value in zip(_PASTED, values, strict=True) if not value]
    missing += [] if body.strip() else ["body"]
    if missing:
        raise Invalid(
            "Something is missing.", details={name: ["Paste this too."] for name in missing}
        )
    if len(body) > signature_checks.LONGEST_BODY:
        text = f"Paste at most {signature_checks.LONGEST_BODY:,} characters."
        raise Invalid.sentence("body", text)
    event_id, timestamp, signature = values
    return Pasted(event_id, timestamp, signature, body.encode())


def _header(name: str) -> str:
    """Return the value of a header, which may have been pasted with its name."""
    text = forms.text(name)
    start, colon, rest = text.partition(":")
    return rest.strip() if colon and start.strip().lower() == name else text
