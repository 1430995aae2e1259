"""Gives each finding of `doctor` a button to the page that shows or solves the problem."""

from collections.abc import Callable
from typing import NamedTuple

from ..core.accounts.roles import VIEWER
from ..core.operations.finding import Finding
from . import visitors


class FindingLink(NamedTuple):
    """The text and the address of a button."""

    text: str
    url: str


class _Page(NamedTuple):
    """The page behind a button: its text, its address, and who may see it."""

    text: str
    url: Callable[[str], str]
    role: str


_LINKS: dict[str, _Page] = {}
# Findings without a page of the dashboard lead to the documentation.
_GUIDES = {
    "public url": "https",
    "database encryption": "operating",
    "numbers": "settings",
    "certificate": "https",
    "settings": "settings",
}


def add(check: str, text: str, url: Callable[[str], str], role: str = VIEWER) -> None:
    """Link findings with this check, or whose check begins with it: `url` gets the rest, such as a device's name."""
    _LINKS[check] = _Page(text, url, role)


def of(finding: Finding) -> FindingLink | None:
    """Return the button of the finding, `None` if this person may not see the page."""
    check, _, rest = finding.check.partition(" ")
    for name, given in ((finding.check, ""), (check, rest)):
        if name in _LINKS:
            page = _LINKS[name]
            return (
                FindingLink(page.text, page.url(given)) if visitors.is_allowed(page.role) else None
            )
        if name in _GUIDES:
            return FindingLink("How to put it right", f"/docs/{_GUIDES[name]}")
    return FindingLink("How to put it right", "/docs/operating")
