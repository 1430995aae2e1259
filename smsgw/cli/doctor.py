"""Reports problems and how to solve them: `doctor`."""

from collections import Counter
from collections.abc import Iterator, Sequence

import click

from .. import clock, program
from ..core.operations import doctor
from ..core.operations.finding import Finding
from . import output
from .context import unchecked
from .entry import root

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}
_STATE_WIDTH = 9
_PHONE = "device "
# In each state, on a terminal; a file or a pipe gets all findings.
MOST_ABOUT_PHONES = 20


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
        shown = list(_fewer(findings)) if output.is_terminal() else findings
        width = max(len(finding.check) for finding in shown)
        for finding in shown:
            _print(finding, width)
    if not is_well:
        click.get_current_context().exit(1)


def _fewer(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Yield all findings, but of those about phones only the first ones in each state, and how many more there are."""
    counts = Counter[str]()
    for finding in findings:
        is_about_phone = finding.check.startswith(_PHONE)
        counts[finding.state] += is_about_phone
        if not is_about_phone or counts[finding.state] <= MOST_ABOUT_PHONES:
            yield finding
    for state, count in counts.items():
        if count > MOST_ABOUT_PHONES:
            text = f"{count - MOST_ABOUT_PHONES} more findings about phones"
            yield Finding("devices", state, text, f"see all: {program.line('doctor --json')}")


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
