"""Reports problems and how to solve them: `doctor`."""

import click

from .. import clock
from ..core.operations import doctor
from ..core.operations.finding import Finding
from . import output
from .context import unchecked
from .entry import root

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}
_STATE_WIDTH = 9


@output.command(root, "doctor")
def examine() -> None:
    """Check the server for problems.

    Checks the database, the worker, each phone, stuck messages and more. The exit code is 1 if there is a problem.
    """
    with unchecked() as context:
        findings = doctor.examine(context.database, context.settings, clock.now())
    is_well = doctor.is_well(findings)
    if output.wants_json():
        output.print_json({"ok": is_well, "checks": [_shape(finding) for finding in findings]})
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            _print(finding, width)
    if not is_well:
        click.get_current_context().exit(1)


def _shape(finding: Finding) -> dict[str, str]:
    return {name: getattr(finding, name) for name in ("check", "state", "text", "advice")}


def _print(finding: Finding, width: int) -> None:
    """Print a finding in columns, or on a narrow terminal with the name of the check before its text."""
    start, text = f"{finding.state:<{_STATE_WIDTH}}", f"{finding.check}: {finding.text}"
    if output.width() >= output.NARROW:
        start, text = f"{start}{finding.check:<{width}}  ", finding.text
    output.paragraph(text, start, _COLOURS[finding.state])
    if finding.advice:
        output.advice(finding.advice, start)
