"""Looks at a page of the dashboard as people see it: in both themes, wide and narrow, and by axe's rules."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCREENS = Path(__file__).parent / "screens"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
_SERIOUS = ("serious", "critical")
# Chromium's own line about a form that was not taken.
_REFUSED = "Failed to load resource: the server responded with a status of 4"
# Of all rules, only that on contrast can tell one theme from the other.
_RULES = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}
_RUN_AXE = """async (rules) => (await axe.run(rules)).violations
    .map(found => ({impact: found.impact, id: found.id, nodes: found.nodes.map(node => node.html).slice(0, 3)}))"""

_SHOWS_PRESENT_ENTRY = """() => [...document.querySelectorAll('.bar [aria-current="page"]')]
    .map(entry => entry.getBoundingClientRect())
    .every(place => place.left >= 0 && place.right <= innerWidth)"""


def look_at(page: Any, name: str, axe: str) -> None:
    """Check the present page: readable in both themes, no scrolling sideways at 360 pixels, nothing against its CSP.

    With SCREENS set, writes a picture of each theme and width to `screens/<name>-…png`.
    """
    # By the debugger, which the page's CSP does not concern.
    page.evaluate(axe)
    for theme in look_at_themes(page, name):
        found = [
            each for each in page.evaluate(_RUN_AXE, _RULES[theme]) if each["impact"] in _SERIOUS
        ]
        assert not found, f"{name} {theme}: {found}"
    faults = [fault for fault in page.faults if not fault.startswith(_REFUSED)]
    assert faults == [], faults


def look_at_themes(page: Any, name: str) -> Iterator[str]:
    """Show the page in each theme and width, with the pictures and the check of its width alone; yield the theme."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for width, size in (("wide", WIDE), ("narrow", NARROW)):
            page.set_viewport_size(size)
            _picture(page, f"{name}-{width}-{theme}")
            _check_width(page, f"{name} {width}")
        page.set_viewport_size(WIDE)
        yield theme


def _picture(page: Any, name: str) -> None:
    if os.environ.get("SCREENS"):
        SCREENS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENS / f"{name}.png", full_page=True)


def _check_width(page: Any, name: str) -> None:
    excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert excess <= 0, f"{name}: {excess} pixels too wide"
    assert page.evaluate(_SHOWS_PRESENT_ENTRY), f"{name}: the entry of the present page is hidden"
