"""Serves `/admin`: what is wrong and what to do about it, what waits, and what the last 24 hours were like."""

from typing import Any

from flask import redirect, request, url_for

from .. import clock
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices import registry
from ..core.events import feed
from ..core.operations import first_steps, hourly_counts, stats
from ..http.context import services
from ..store.db import Session
from . import device_access, finding_links, findings, navigation, rendering, start, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("Overview", "overview", role=VIEWER, icon="house", order=10)

_MOST_FINDINGS = 40


@blueprint.get("")
@allows(VIEWER)
def home() -> Any:
    """Show the overview, or lead to the page on which this person begins."""
    page = start.first_page()
    return overview() if page == "overview" else redirect(url_for(f"dashboard.{page}"), 303)


@blueprint.get("/overview")
@allows(VIEWER)
def overview() -> Any:
    """Show what was found, wrong things first, and the figures."""
    now = clock.now()
    with services().database.reading() as session:
        hours = hourly_counts.of_last_day(session, now)
        is_beginning = visitors.is_allowed(OPERATOR) and not first_steps.is_done(session, now)
    return rendering.render(
        "overview.html", title="Overview", hours=hours, is_beginning=is_beginning, **_news()
    )


@blueprint.get("/overview/news")
@allows(VIEWER)
def overview_news() -> Any:
    """Show the same anew if anything has happened, or a minute has passed."""
    with services().database.reading() as session:
        is_seen = request.args.get("seen") == _position(session)
    if is_seen:
        return rendering.nothing_new()
    return rendering.fragment("_overview.html", **_news())


def _news() -> dict[str, Any]:
    settings, database, now = services().settings, services().database, clock.now()
    with database.reading() as session:
        position = _position(session)
        everyone = registry.everyone(session)
        devices = device_access.of(session, everyone)
        visible = {device.id for device in devices}
        found = [
            one
            for one in findings.of_everything(session, everyone, now)
            if not device_access.names_another(one, visible)
        ]
        queue = stats.queue_of_all(session, now)
    return {
        "position": position,
        "state": found[0].state,
        "findings": [(one, finding_links.of(one)) for one in found if one.state != "ok"],
        "most": _MOST_FINDINGS,
        "passed": [one for one in found if one.state == "ok"],
        "queue": queue,
        "phones": [
            (device, registry.is_online(device, now, settings.device_offline_seconds))
            for device in devices
        ],
    }


def _position(session: Session) -> str:
    return f"{feed.newest(session)}-{clock.now():%H%M}"
