"""Gives each finding of `doctor` one button: the page where it is looked at or put right."""

from collections.abc import Callable
from typing import NamedTuple

from ..core.operations.finding import Finding


class FindingLink(NamedTuple):
    """The text and the address of a button."""

    text: str
    url: str


_LINKS: dict[str, tuple[str, Callable[[str], str]]] = {}
# Where no page of ours helps, one of the documentation does.
_GUIDES = {
    "public url": "https",
    "database encryption": "operating",
    "numbers": "settings",
    "stuck messages": "troubleshooting",
    "crm": "crm-websocket",
}


def add(check: str, text: str, url: Callable[[str], str]) -> None:
    """Link findings with this check, or whose check begins with it: `url` gets the rest, such as a device's name."""
    _LINKS[check] = (text, url)


def of(finding: Finding) -> FindingLink:
    """Return the button of the finding."""
    check, _, rest = finding.check.partition(" ")
    for name, given in ((finding.check, ""), (check, rest)):
        if name in _LINKS:
            text, url = _LINKS[name]
            return FindingLink(text, url(given))
        if name in _GUIDES:
            return FindingLink("How to put it right", f"/docs/{_GUIDES[name]}")
    return FindingLink("How to put it right", "/docs/operating")
