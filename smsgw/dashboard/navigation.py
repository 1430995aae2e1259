"""Collects the entries of the navigation: each page adds its own when its module is imported."""

from typing import NamedTuple

from ..core.accounts import roles
from .blueprint import PREFIX


class NavigationEntry(NamedTuple):
    """A link to a page, for those who have at least this role; `icon` is one of `static/icons.svg`."""

    order: int
    text: str
    endpoint: str
    role: str
    icon: str


_ENTRIES: dict[str, NavigationEntry] = {}


def add(text: str, endpoint: str, *, role: str, icon: str, order: int) -> None:
    """Add an entry. `endpoint` is the name of the view's function; entries with a lower `order` come first."""
    _ENTRIES[endpoint] = NavigationEntry(order, text, f"dashboard.{endpoint}", role, icon)


def entries(role: str) -> list[NavigationEntry]:
    """Return the entries for somebody with this role, in order."""
    return sorted(each for each in _ENTRIES.values() if roles.includes(role, each.role))


def is_below(path: str, url: str) -> bool:
    """Return whether the page with this path is the one at `url`, or one below it; the first page is the overview."""
    path = path.partition("?")[0]
    page = f"{PREFIX}/overview" if path == PREFIX else path
    return page == url or page.startswith(f"{url}/")
