"""Serves `/admin/log`: who changed what, refused logins, and unreadable items from phones."""

from typing import Any

from flask import flash, redirect, request, url_for

from ..core.accounts import audit_log
from ..core.accounts.audit_log import Filters
from ..core.accounts.roles import OPERATOR
from ..core.messages import quarantine
from ..errors import NotFound
from ..http import refusals
from ..http.context import services
from . import finding_links, forms, navigation, rendering
from .blueprint import blueprint
from .guards import allows

navigation.add("Log", "log", role=OPERATOR, icon="scroll-text", order=80)
finding_links.add(
    "quarantine", "Look at them", lambda _: url_for("dashboard.quarantined"), OPERATOR
)
finding_links.add(
    "logins", "Look at the log", lambda _: url_for("dashboard.log", _anchor="refused"), OPERATOR
)

_CHANGES = 50
_ITEMS = 20
_MOST_SHOWN = 4_000


@blueprint.get("/log")
@allows(OPERATOR)
def log() -> Any:
    """List who changed what, newest first, and who was refused lately."""
    names = ("actor", "action")
    given: dict[str, Any] = {name: request.args.get(name, "").strip() or None for name in names}
    filters = Filters(actor=given["actor"], action=given["action"])
    with services().database.reading() as session:
        entries, cursor = audit_log.page(session, filters, request.args.get("cursor"), _CHANGES)
    return rendering.render(
        "log.html",
        title="Log",
        changes=entries,
        older=cursor and url_for("dashboard.log", cursor=cursor, **given),
        given=given,
        refused=refusals.recent(),
    )


@blueprint.get("/log/quarantine")
@allows(OPERATOR)
def quarantined() -> Any:
    """List the unreadable items from phones, newest first."""
    before = request.args.get("before", type=int)
    with services().database.reading() as session:
        found = quarantine.page(session, _ITEMS + 1, before)
        dropped = quarantine.dropped_count(session)
    items = [{**quarantine.shape(item), "size": item.size} for item in found[:_ITEMS]]
    has_older = len(found) > _ITEMS
    return rendering.render(
        "quarantine.html",
        title="Unreadable",
        items=[{**item, "raw": item["raw"][:_MOST_SHOWN]} for item in items],
        most=_MOST_SHOWN,
        dropped=dropped,
        older=url_for("dashboard.quarantined", before=items[-1]["id"]) if has_older else None,
    )


@blueprint.post("/log/quarantine/clear")
@allows(OPERATOR, confirmed=True)
def clear_quarantine() -> Any:
    """Remove the ticked items, or all."""
    with services().database.transaction() as session:
        if forms.text("all"):
            count = quarantine.clear_all(session)
        else:
            count = quarantine.clear(session, [_item_id(text) for text in forms.texts("item")])
    flash(f"{count} items were removed.")
    return redirect(url_for("dashboard.quarantined"), 303)


def _item_id(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise NotFound(f"no item {text[:20]!r} in the quarantine")
    return int(text)
