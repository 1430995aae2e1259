"""Serves `/admin/webhooks`: the webhook endpoints of all CRMs, and adding one."""

from typing import Any

from .. import clock
from ..core.accounts import crms, operator_json
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices import registry
from ..core.events import recording
from ..core.webhooks import endpoints, urls
from ..http.context import services
from . import forms, navigation, rendering, webhook_access, webhook_states
from .blueprint import blueprint
from .guards import allows

navigation.add("Webhooks", "webhooks", role=VIEWER, icon="webhook", order=65)


@blueprint.get("/webhooks")
@allows(VIEWER)
def webhooks() -> Any:
    """List the endpoints, failing ones first."""
    return _webhooks()


@blueprint.post("/webhooks/add")
@allows(OPERATOR, confirmed=True)
def add_webhook() -> Any:
    """Add an endpoint and show its secret once."""
    settings = services().settings
    # Asks the DNS, so it comes before the transaction.
    url = urls.checked(forms.text("url"), settings.webhook_allowed_networks)
    with services().database.transaction() as session:
        endpoint, secret = endpoints.add(
            session,
            crms.get(session, forms.text("crm")),
            url,
            event_types=forms.texts("events") or None,
            device_ids=forms.texts("device_ids") or None,
            most=settings.webhooks_per_crm,
            now=clock.now(),
        )
        made = {**endpoints.shape(session, endpoint), "secret": secret}
    return _webhooks(made)


def _webhooks(made: dict[str, Any] | None = None) -> Any:
    now = clock.now()
    with services().database.reading() as session:
        shapes = endpoints.shapes(session, webhook_access.everyone(session))
        names = operator_json.crm_names(session, {shape["crm_id"] for shape in shapes})
        crm_names = [crm.name for crm in crms.everyone(session)]
        device_ids = [device.id for device in registry.everyone(session)]
    rows = [
        {**shape, "crm": names[shape["crm_id"]], "how": webhook_states.of(shape, now)}
        for shape in shapes
    ]
    rows.sort(key=lambda row: (row["how"].order, row["crm"], row["id"]))
    return rendering.render(
        "webhooks.html",
        title="Webhooks",
        state="wrong" if rows and rows[0]["how"].state == "wrong" else None,
        webhooks=rows,
        made=made,
        crm_names=crm_names,
        device_ids=device_ids,
        event_types=recording.TYPES,
    )
