"""Counts the segments of a text while it is typed, and shows why queueing would refuse it."""

from typing import Any

from .. import clock
from ..core.accounts.roles import CLERK
from ..core.messages import drafts as checks
from ..core.messages import preview
from ..core.messages.drafts import Draft
from ..errors import GatewayError
from ..http.context import services
from ..sms.segments import measure
from . import forms, rendering, send_form
from .blueprint import blueprint
from .guards import allows


@blueprint.post("/segments")
@allows(CLERK)
def count_segments() -> Any:
    """Show the segments of the text `content` to the number `to` for the CRM `crm`, or its fault."""
    content = forms.lines("content")
    if not content.strip():
        return rendering.fragment("_segments.html", measured=None)
    return rendering.fragment(
        "_segments.html",
        measured=measure(content),
        room=max(0, checks.room(content)),
        fault=_fault(content),
    )


def _fault(content: str) -> str | None:
    """Return why the message would not be queued."""
    try:
        with services().database.reading() as session:
            crm = send_form.find_crm(session, forms.text("crm"))
            draft = Draft(to=forms.text("to"), content=content)
            preview.preview(session, crm, services().settings, draft, clock.now())
    except GatewayError as error:
        return error.message
    return None
