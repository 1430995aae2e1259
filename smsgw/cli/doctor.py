"""Reports problems and how to solve them: `doctor`."""

from dataclasses import asdict

import click

from .. import clock
from ..core.operations import doctor
from ..core.operations.finding import Finding
from . import output
from .context import unchecked
from .entry import root

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


@output.command(root, "doctor")
def examine() -> None:
    """Check the server for problems.

    Checks the database, the worker, each phone, stuck messages and more. The exit code is 1 if there is a problem.
    """
    with unchecked() as context:
        findings = doctor.examine(context.database, context.settings, clock.now())
    is_well = doctor.is_well(findings)
    if output.wants_json():
        output.print_json({"ok": is_well, "checks": [asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            _print(finding, width)
    if not is_well:
        click.get_current_context().exit(1)


def _print(finding: Finding, width: int) -> None:
    state = click.style(f"{finding.state:<7}", fg=_COLOURS[finding.state])
    click.echo(f"{state}  {finding.check:<{width}}  {finding.text}")
    if finding.advice:
        click.echo(f"{'':<9}{'':<{width}}  -> {finding.advice}")
