"""Renders the project's pages for users, `docs/*.md`, as HTML."""

from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ...lazy_imports import lazy

if TYPE_CHECKING:
    import markdown_it
else:
    markdown_it = lazy("markdown_it")

_PACKAGE = Path(__file__).resolve().parents[2]
# A wheel contains the pages in the package; in a checkout they are next to it.
_FOLDER = next(
    folder for folder in (_PACKAGE / "docs", _PACKAGE.parent / "docs") if folder.is_dir()
)
_FOR_CONTRIBUTORS = {"architecture", "releasing"}
_TEMPLATES = Path(__file__).parent / "static"
_API_TITLE = "API documentation"
_FRONT_TITLE = "SMS gateway"


def front() -> str:
    """Return the page that tells visitors what this server is."""
    return _filled("index.html", {"TITLE": _FRONT_TITLE})


def api() -> str:
    """Return the page that shows the API."""
    return _pages()[""]


def find(name: str) -> str | None:
    """Return the page with this name, `None` if there is none; a trailing `.md`, as in links, is ignored."""
    return _pages().get(name.removesuffix(".md")) if name else None


@cache
def _pages() -> dict[str, str]:
    """Return the pages by file name without `.md`, and the API's as ""; rendered once per process."""
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted(_FOLDER.glob("*.md"))
        if path.stem not in _FOR_CONTRIBUTORS
    }
    titles = {"": _API_TITLE, **{name: escape(_title(text)) for name, text in texts.items()}}
    markdown = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
    pages = {
        name: _page("guide.html", name, titles, markdown.render(text))
        for name, text in texts.items()
    }
    return {"": _page("api.html", "", titles), **pages}


def _page(template: str, name: str, titles: dict[str, str], html: str = "") -> str:
    menu = "".join(_entry(other, title, other == name) for other, title in titles.items())
    title = f"{titles[name]} · smsgw"
    return _filled(template, {"TITLE": title, "MENU": menu, "TEXT": html})


def _filled(template: str, texts: dict[str, str]) -> str:
    """Return the template with the parts that pages share, and with these texts."""
    parts = {"HEAD": _read("head.html").rstrip(), "HEADER": _read("header.html"), **texts}
    page = _read(template)
    for part, words in parts.items():
        page = page.replace(f"<!-- {part} -->", words)
    return page


def _entry(name: str, title: str, is_current: bool) -> str:
    url = f"/docs/{name}" if name else "/docs"
    current = ' aria-current="page"' if is_current else ""
    return f'<li><a href="{url}"{current}>{title}</a></li>'


def _read(template: str) -> str:
    return (_TEMPLATES / template).read_text(encoding="utf-8")


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
