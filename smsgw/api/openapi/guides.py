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
_TEMPLATE = (Path(__file__).parent / "static" / "guide.html").read_text(encoding="utf-8")


def find(name: str) -> str | None:
    """Return the page with this name, `None` if there is none; a trailing `.md`, as in links, is ignored."""
    return _pages().get(name.removesuffix(".md"))


@cache
def _pages() -> dict[str, str]:
    """Return the pages by file name without `.md`; rendered once per process."""
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted(_FOLDER.glob("*.md"))
        if path.stem not in _FOR_CONTRIBUTORS
    }
    menu = "".join(
        f'<li><a href="/docs/{name}">{escape(_title(text))}</a></li>'
        for name, text in texts.items()
    )
    markdown = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
    return {name: _page(text, menu, markdown.render(text)) for name, text in texts.items()}


def _page(text: str, menu: str, html: str) -> str:
    parts = {"TITLE": escape(_title(text)), "MENU": menu, "TEXT": html}
    page = _TEMPLATE
    for name, part in parts.items():
        page = page.replace(f"<!-- {name} -->", part)
    return page


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
