"""Serves `/admin/limits`: the limits of phones and CRMs with their usage, and changing those of a CRM."""

from typing import Any

from flask import flash, redirect, url_for

from .. import clock
from ..core.accounts import crm_limits as limits_of_crms
from ..core.accounts import crm_words, crms, ownership
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.messages import recipients
from ..core.messages.recipients import HIGHEST_LOOP_GUARD
from ..errors import Invalid
from ..http.context import services
from ..settings import HIGHEST_LIMIT
from ..sms.opt_out_words import LONGEST
from ..store.models import Crm
from . import device_access, device_pages, forms, navigation, rendering, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("Limits", "all_limits", role=VIEWER, icon="gauge", order=75)

# Each number's lowest and highest value.
_NUMBERS = {
    "queue_limit": (1, HIGHEST_LIMIT),
    "requests_per_minute": (1, HIGHEST_LIMIT),
    "loop_guard": (0, HIGHEST_LOOP_GUARD),
}


@blueprint.get("/limits")
@allows(VIEWER)
def all_limits() -> Any:
    """Show the limits and their usage."""
    now, settings = clock.now(), services().settings
    with services().database.reading() as session:
        everyone = device_access.everyone(session)
        page = device_pages.page(everyone)
        devices = ownership.shapes(session, page.rows, settings, now)
        access = visitors.access(session)
        rows = [crm for crm in crms.everyone(session) if access.includes(crm.id)]
        filled = limits_of_crms.of_crms(session, rows, settings, now)
        loop_guards = {crm.id: recipients.loop_guard_of(crm) for crm in rows}
    return rendering.render(
        "limits.html",
        title="Limits",
        is_searchable=len(everyone) > device_pages.PAGE_SIZE,
        has_devices=bool(everyone),
        devices=devices,
        next_cursor=page.next_cursor,
        typed=device_pages.typed(),
        filled=filled,
        loop_guards=loop_guards,
        most_counted=limits_of_crms.MOST_COUNTED,
    )


@blueprint.get("/limits/<crm_id>")
@allows(OPERATOR)
def crm_limits(crm_id: str) -> Any:
    """Show the form with a CRM's limits and words."""
    with services().database.reading() as session:
        crm = crms.get(session, crm_id)
    return rendering.render(
        "crm_limits.html",
        title=f"Limits of {crm.name}",
        crm=crm,
        values=_values(crm),
        default_loop_guard=recipients.DEFAULT_LOOP_GUARD,
        settings=services().settings,
    )


@blueprint.post("/limits/<crm_id>/change")
@allows(OPERATOR)
def change_crm_limits(crm_id: str) -> Any:
    """Change a CRM's limits and words, as far as they were changed on the page."""
    with services().database.transaction() as session:
        crm = limits_of_crms.lock(session, crm_id)
        values = _values(crm)
        changed = [name for name in values if forms.is_changed(name, values[name])]
        crms.update(session, crm, {name: _read(name) for name in changed}, clock.now())
    flash("The changes are saved.")
    return redirect(url_for("dashboard.all_limits"), 303)


def _values(crm: Crm) -> dict[str, str]:
    """Return the fields as the form has them; a number that is empty is the default."""
    numbers = {name: getattr(crm, name) for name in _NUMBERS}
    return {
        **{name: "" if value is None else str(value) for name, value in numbers.items()},
        "sticky_sender": "on" if crm.sticky_sender else "off",
        **{name: _words_text(getattr(crm, name)) for name in crm_words.FIELDS},
    }


def _words_text(words: list[str] | None) -> str:
    """Return the words one on each line, nothing for the default and a dash for none."""
    if words is None:
        return ""
    return "\n".join(words) or "-"


def _read(name: str) -> Any:
    if name in _NUMBERS:
        return _number(name)
    if name in crm_words.FIELDS:
        return _words(name)
    wanted = forms.text(name)
    if wanted not in ("on", "off"):
        raise Invalid.sentence(name, "Choose one of the two.")
    return wanted == "on"


def _number(name: str) -> int | None:
    if not forms.text(name):
        return None
    return forms.whole(name, *_NUMBERS[name], ", or empty for the default")


def _words(name: str) -> list[str] | None:
    words = [line.strip() for line in forms.text(name).splitlines() if line.strip()]
    if words == ["-"]:
        return []
    if len(words) > crm_words.MOST_WORDS or any(len(word) > LONGEST for word in words):
        text = f"At most {crm_words.MOST_WORDS} words of at most {LONGEST} characters each."
        raise Invalid.sentence(name, text)
    if any("\0" in word for word in words):
        raise Invalid.sentence(name, "A word holds a character that no SMS has.")
    return words or None
