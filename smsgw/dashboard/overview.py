"""Serves `/admin`: the problems and their solutions, the queue, and the last 24 hours."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import redirect, request, url_for

from .. import clock
from ..core.accounts.roles import OPERATOR, VIEWER
from ..core.devices import registry
from ..core.events import feed
from ..core.operations import backlog, first_steps, hourly_counts
from ..core.operations.finding import Finding
from ..http.context import services
from ..store.db import Session
from . import device_access, finding_links, findings, navigation, rendering, start, visitors
from .blueprint import blueprint
from .finding_links import FindingLink
from .guards import allows

navigation.add("Overview", "overview", role=VIEWER, icon="house", order=10)

_MOST_FINDINGS = 40
_MOST_OF_A_KIND = 5
_MANY = ("device", "webhook")


@blueprint.get("")
@allows(VIEWER)
def home() -> Any:
    """Show the overview, or redirect to this person's first page."""
    page = start.first_page()
    return overview() if page == "overview" else redirect(url_for(f"dashboard.{page}"), 303)


@blueprint.get("/overview")
@allows(VIEWER)
def overview() -> Any:
    """Show the findings, problems first, and the figures."""
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
    """Show the overview again if anything has happened, or a minute has passed."""
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
        visible = device_access.names(session)
        devices = device_access.of(everyone, visible)
        queue = backlog.read(session, now)
        found = [
            one
            for one in findings.of_everything(session, everyone, queue, now)
            if device_access.may_see(one, visible)
        ]
    shown, left_out = _shorten([one for one in found if one.state != "ok"])
    return {
        "position": position,
        "state": found[0].state,
        "findings": _items(shown),
        "left_out": left_out,
        "most": _MOST_FINDINGS,
        "passed": [one for one in found if one.state == "ok"],
        "queue": queue,
        "now": now,
        "phones": [
            (device, registry.is_online(device, now, settings.device_offline_seconds))
            for device in devices
        ],
    }


def _items(found: Sequence[Finding]) -> list[tuple[Finding, FindingLink | None, str]]:
    """Return the findings with their buttons, and with ids that do not depend on their order.

    So the keyboard's focus stays on a button when the page is refreshed.
    """
    counts, items = Counter[str](), []
    for finding in found:
        counts[finding.check] += 1
        name = "-".join(finding.check.split())
        items.append(
            (finding, finding_links.of(finding), f"finding-{name}-{counts[finding.check]}")
        )
    return items


def _shorten(found: Sequence[Finding]) -> tuple[list[Finding], Counter[str]]:
    """Return the findings with only the first of several phones or webhooks, and the number of the others.

    Many that fail together would hide all else.
    """
    left_out: set[str] = set()
    for kind in _MANY:
        names = dict.fromkeys(one.check for one in found if one.check.startswith(f"{kind} "))
        left_out.update(list(names)[_MOST_OF_A_KIND:])
    counts = Counter(name.partition(" ")[0] for name in left_out)
    return [one for one in found if one.check not in left_out], counts


def _position(session: Session) -> str:
    return f"{feed.newest(session)}-{clock.now():%H%M}"
