"""People in browsers without JavaScript, for the tests of the dashboard."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import browser_sessions, operators
from smsgw.core.accounts.roles import CLERK, OPERATOR, VIEWER

from ..conftest import NOW, World

SAME_SITE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}


@dataclass
class HtmlForm:
    """A form of a page: where it is sent, and the fields with their present values."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[HtmlForm] = []
        self._area: str | None = None
        self._select: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "form":
            self.found.append(HtmlForm(given.get("action", "")))
        elif tag == "input" and name:
            is_box = given.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in given:
                self.found[-1].fields[name] = given.get("value", "")
        elif tag == "textarea":
            self._area = name
            self.found[-1].fields[name] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select is not None:
            fields = self.found[-1].fields
            is_chosen = "selected" in given or self._select not in fields
            fields[self._select] = given.get("value", "") if is_chosen else fields[self._select]

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.found[-1].fields[self._area] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None


class Browser:
    """One browser: it keeps its cookies, and sends the forms that pages show."""

    def __init__(self, world: World, cookie_name: str = "smsgw") -> None:
        self.cookie_name = cookie_name
        self._client = world.app.test_client()
        self.page: Any = None

    def get(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        self.page = self._client.get(path, headers={**SAME_SITE, **(headers or {})}, **more)
        return self.page

    def post(self, path: str, fields: Any, headers: dict[str, str] | None = None) -> Any:
        """Sends these fields as they are, without those that the page has."""
        self.page = self._client.post(path, data=fields, headers={**SAME_SITE, **(headers or {})})
        return self.page

    def form(self, action: str) -> HtmlForm:
        """The form of the present page that is sent to this address."""
        (found, *_) = [form for form in forms_of(self.page) if form.action == action] or [None]
        assert found is not None, f"no form for {action} on the page: {self.page.text}"
        return found

    def send(self, action: str, **fields: Any) -> Any:
        """Fills in the form of the present page and sends it; follows where it leads."""
        form = self.form(action)
        self.post(action, {**form.fields, **fields})
        if self.page.status_code == 303:
            self.get(self.page.headers["Location"])
        return self.page

    def sign_in(self, secret: str, **fields: str) -> Any:
        self.get("/admin/sign-in")
        return self.send("/admin/sign-in", secret=secret, **fields)

    def remember(self, token: str) -> None:
        """Takes the cookie of a session that has begun."""
        with self._client.session_transaction() as cookie:
            cookie["id"] = token
            cookie.permanent = True

    @property
    def cookie(self) -> str:
        """The value of the cookie."""
        return self._client.get_cookie(self.cookie_name).value

    @cookie.setter
    def cookie(self, value: str) -> None:
        self._client.set_cookie(self.cookie_name, value)


@dataclass
class Office:
    """The people of a server, each with the role of the same name, and their keys."""

    world: World
    keys: dict[str, str]

    def browser(self, name: str | None = None) -> Browser:
        """A browser in which this person is signed in; by default nobody is."""
        opened = Browser(self.world)
        if name is not None:
            opened.remember(self._begin(name))
        return opened

    def _begin(self, name: str) -> str:
        database, now = self.world.database, clock.now()
        with database.transaction() as session:
            identity = operators.find_by_key(session, self.world.settings, self.keys[name])
            return browser_sessions.begin(session, identity, "127.0.0.1", now)


def forms_of(page: Any) -> list[HtmlForm]:
    """The forms of a page, with what is filled in."""
    return _Forms(page.text).found


def text_of(page: Any) -> str:
    """What a page says, without its tags."""
    bare = re.sub(r"<(script|style|head).*?</\1>", " ", page.text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", bare).split())


@pytest.fixture
def office(world: World) -> Office:
    with world.database.transaction() as session:
        keys = {role: operators.add(session, role, NOW, role) for role in (VIEWER, CLERK, OPERATOR)}
    return Office(world, keys)
