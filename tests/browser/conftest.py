"""Debian's Chromium, driven by Playwright, and a server in this process for the pages of the dashboard."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from ..conftest import World, missing
from ..dashboard.conftest import Office, office
from ..live import node
from .looking import look_at

__all__ = ["office"]

HERE = Path(__file__).parent

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="package")
def browser():
    # Not for the whole session: while it is open, Playwright's event loop runs in this thread and no other can.
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("Chromium is not installed (apt install chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page that remembers what it asked for and what went wrong."""
    context = browser.new_context()
    opened = context.new_page()
    opened.asked, opened.faults = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on(
        "console",
        lambda message: opened.faults.append(message.text) if message.type == "error" else None,
    )
    yield opened
    context.close()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program that checks pages for accessibility."""
    folder = tmp_path_factory.mktemp("axe")
    node.install(HERE, folder)
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


@dataclass
class Site:
    """A running server, its people, and a page of Chromium."""

    url: str
    office: Office
    page: Any
    axe: str

    @property
    def world(self) -> World:
        return self.office.world

    def open(self, path: str, role: str | None = None) -> Any:
        """Opens a page; with a role, as the person who has it, who is signed in from then on."""
        if role is not None:
            self.sign_in(role)
        self.page.goto(f"{self.url}{path}")
        return self.page

    def sign_in(self, role: str) -> None:
        """Gives the browser the cookie of a person who has signed in."""
        cookie = self.office.browser(role).cookie
        self.page.context.clear_cookies()
        self.page.context.add_cookies(
            [{"name": "smsgw", "value": cookie, "url": self.url, "sameSite": "Strict"}]
        )

    def look(self, name: str) -> None:
        """Checks the present page in both themes and at both widths, and writes pictures of it."""
        look_at(self.page, name, self.axe)


@pytest.fixture
def site(office: Office, page: Any, axe: str) -> Iterator[Site]:
    server = make_server("127.0.0.1", 0, office.world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield Site(f"http://127.0.0.1:{server.server_port}", office, page, axe)
    server.shutdown()
    thread.join()
