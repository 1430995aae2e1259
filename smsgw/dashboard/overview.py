"""Serves `/admin`: what is wrong, and what to do about it."""

from typing import Any

from .. import clock
from ..core.accounts.roles import VIEWER
from ..core.operations import doctor
from ..http.context import services
from . import navigation, rendering
from .blueprint import blueprint
from .guards import allows

navigation.add("Overview", "overview", role=VIEWER, icon="house", order=10)

_ORDER = {"wrong": 0, "warning": 1, "ok": 2}


@blueprint.get("")
@allows(VIEWER)
def overview() -> Any:
    """Show what was found, wrong things first."""
    findings = doctor.examine(services().database, services().settings, clock.now())
    findings.sort(key=lambda finding: _ORDER[finding.state])
    return rendering.render(
        "overview.html", title="Overview", state=findings[0].state, findings=findings
    )
