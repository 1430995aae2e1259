"""Serves `/admin/send`: one text to one or many numbers."""

from typing import Any

from flask import redirect, request, url_for

from .. import clock
from ..core.accounts.roles import CLERK
from ..core.messages import bulks, one_text, repeats
from ..core.messages import drafts as checks
from ..core.messages.bulks import NewBulk
from ..errors import Invalid
from ..http.context import services
from ..sms.segments import measure
from ..store.db import Session
from . import forms, message_search, navigation, rendering, send_form, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("Send", "send", role=CLERK, icon="send", order=50)


@blueprint.get("/send")
@allows(CLERK)
def send() -> Any:
    """Show the form, with a preview of the messages."""
    form = forms.Form(url_for("dashboard.queue_send"))
    with services().database.reading() as session:
        crm_names = message_search.crm_names(session)
        shown = _preview(session, lambda name: send_form.clean(name, form.value(name)))
        device_ids = send_form.device_ids(session)
    return rendering.render(
        "send.html",
        title="Send",
        region=services().settings.default_region,
        crm_names=crm_names,
        usual_crm=send_form.usual_crm(crm_names),
        device_ids=device_ids,
        key=send_form.new_key(),
        priorities=send_form.PRIORITIES.items(),
        **shown,
    )


@blueprint.post("/send/preview")
@allows(CLERK)
def preview_send() -> Any:
    """Show a preview of the messages: a part of the page for htmx, else the whole page with the typed values."""
    typed = forms.read()
    if "HX-Request" not in request.headers:
        page, action = url_for("dashboard.send"), url_for("dashboard.queue_send")
        return forms.show_again(page, action, typed)
    with services().database.reading() as session:
        shown = _preview(session, _typed)
    return rendering.fragment("_send_preview.html", **shown)


@blueprint.post("/send")
@allows(CLERK)
def queue_send() -> Any:
    """Queue the messages, all or none. The same form queues once; a text to the same number again must be ticked."""
    settings, now = services().settings, clock.now()
    bulk_id = send_form.bulk_id(_typed)
    with services().database.transaction() as session:
        crm, wanted, _ = send_form.read(session, _typed)
        name, count = wanted[0].content[:60], len(wanted)
        bulk = NewBulk(bulk_id, crm.id, name, visitors.person().name, None, count, count, now)
        if bulks.begin(session, bulk):
            if forms.text("again") != "yes":
                repeats.refuse(session, crm, settings, wanted, now)
            queued = one_text.queue(session, crm, settings, wanted, now)
            bulks.add_rows(session, bulk_id, 0, [one.message.id for one in queued])
        send_form.remember_crm(crm)
    return redirect(url_for("dashboard.bulk_progress", bulk_id=bulk_id), 303)


def _typed(name: str) -> str:
    return send_form.clean(name, forms.read().get(name, ""))


def _preview(session: Session, value: send_form.Value) -> dict[str, Any]:
    """Return the preview of the messages that are typed so far."""
    content = value("content")
    shown: dict[str, Any] = {
        "measure": measure(content) if content else None,
        "room": checks.room(content),
    }
    if not value("to"):
        return shown
    try:
        crm, drafts, repeated = send_form.read(session, value)
    except Invalid as error:
        return {**shown, "fault": error.message}
    found = one_text.preview(session, crm, services().settings, drafts, clock.now())
    faults = [text for name, text in found.faults.items() if name != "content" or content]
    return {**shown, "preview": found, "repeated": repeated, "faults": faults}
