"""Reads forms, and shows a page again with all that was typed: after a fault, or after signing in again."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask, current_app, g, request, session
from flask.ctx import RequestContext
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.test import create_environ

from .. import logs
from ..errors import BadRequest, Conflict, GatewayError, Invalid
from ..http import bodies
from .blueprint import PREFIX

# A text of 1,600 characters to 1,000 numbers; files are read by the page that takes them.
MOST_BYTES = 512 * 1024
# The names of hidden fields: the page with the form, and what its button does, in words.
PAGE = "_page"
WHAT = "_what"
_HIDDEN = (PAGE, WHAT, "csrf_token")

# The key in the environ of the fields that were read.
_READ = "smsgw.dashboard.form"

_LIMITS: dict[str, int] = {}

csrf = CSRFProtect()
Typed = MultiDict[str, str]


class Form:
    """One form of a page: the values and the faults of the last try, if that was to the same URL."""

    def __init__(self, action: str) -> None:
        self.action = action
        is_last = g.get("typed_for") == action
        self._typed: Typed | None = g.get("typed") if is_last else None
        error: GatewayError | None = g.get("form_error") if is_last else None
        self._details: dict[str, Any] = {} if error is None else error.details

    @property
    def is_shown_again(self) -> bool:
        """Return whether the form was sent before: it contains what was typed, but no chosen file."""
        return self._typed is not None

    def value(self, name: str, default: Any = "") -> Any:
        """Return what was typed into the field; before that the default."""
        return default if self._typed is None else self._typed.get(name, "")

    def has(self, name: str, value: str, default: bool = False) -> bool:
        """Return whether this box was ticked, or this option chosen."""
        return default if self._typed is None else value in self._typed.getlist(name)

    def fault(self, name: str) -> str | None:
        """Return what is wrong with the field."""
        found = self._details.get(name)
        while isinstance(found, dict | list) and found:
            found = next(iter(found.values())) if isinstance(found, dict) else found[0]
        return None if not found else str(found)


def page() -> str:
    """Return the path of the present page, even while it answers one of its forms."""
    if g.get("open_page") is not None:
        return str(g.open_page)
    if request.method == "GET":
        return request.full_path.rstrip("?")
    # Empty if the form could not be read.
    typed: Typed = request.environ.get(_READ, MultiDict())
    return local_path(typed.get(PAGE, "")) or request.path


def are_on(path: str) -> None:
    """Say that the forms of a refreshed part belong to the page with this path."""
    g.open_page = path


def allow(endpoint: str, limit_bytes: int) -> None:
    """Let forms that are sent to this view be longer than `MOST_BYTES`."""
    _LIMITS[f"dashboard.{endpoint}"] = limit_bytes


def read() -> Typed:
    """Return the fields of the form that was sent."""
    found: Typed = bodies.form(_limit())
    request.environ[_READ] = found
    return found


def text(name: str) -> str:
    """Return a field without the spaces around it, empty where it is missing."""
    return read().get(name, "").strip()


def lines(name: str) -> str:
    """Return a text area unchanged, but with `\\n` at the ends of lines."""
    return read().get(name, "").replace("\r\n", "\n")


def whole(name: str, least: int, most: int, otherwise: str = "") -> int:
    """Return a whole number from `least` to `most`. Raises `Invalid` for all else, with `otherwise` in its text."""
    wanted = text(name)
    is_digits = wanted.isascii() and wanted.isdigit()
    digits = wanted.lstrip("0") or "0"
    # Python refuses to read the longest ones.
    if not is_digits or len(digits) > len(str(most)) or not least <= int(digits) <= most:
        words = f"Must be a whole number from {least:,} to {most:,}{otherwise}."
        raise Invalid.sentence(name, words)
    return int(digits)


def texts(name: str) -> Sequence[str]:
    """Return all values of a field with several boxes."""
    return read().getlist(name)


def file(name: str) -> tuple[str, bytes] | None:
    """Return the name and the content of a file that was chosen."""
    return bodies.file(name, _limit())


def has_file() -> bool:
    """Return whether a file was chosen in any field."""
    return bodies.has_file(_limit())


def is_changed(name: str, current: str) -> bool:
    """Return whether the field was changed on the page; `Conflict` if somebody else changed it meanwhile."""
    was, wanted = lines(f"was_{name}").strip(), lines(name).strip()
    if wanted == was:
        return False
    if current not in (was, wanted):
        fault = f"Somebody changed this to {current!r} meanwhile. Reload the page, and change it if you still want to."
        raise Conflict(fault, code="changed_meanwhile", details={name: [fault]})
    return True


def check_token() -> None:
    """Raise `BadRequest` if the form was not made for this browser."""
    read()
    try:
        csrf.protect()
    except CSRFError:
        text = "You have signed in anew since this page was opened, or cookies are off. Send the form again."
        raise BadRequest(text, code="csrf") from None


def token() -> str:
    """Return the token for the forms of this page."""
    found: str = generate_csrf()
    return found


def packed() -> str:
    """Return what was typed into the form of this request, for a hidden field."""
    pairs = [(name, value) for name, value in read().items(multi=True) if name not in _HIDDEN]
    return urlencode(pairs)


def unpacked(text: str) -> Typed:
    """Return what `packed` wrote."""
    return MultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=10_000))


def local_path(url: str) -> str | None:
    """Return the path with the query if the URL is one of the dashboard, `None` otherwise."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    is_ours = parts.path == PREFIX or parts.path.startswith(f"{PREFIX}/")
    return path if is_ours and "\\" not in path else None


def show_again(page: str, action: str, typed: Typed, error: GatewayError | None = None) -> Any:
    """Return the page with the form for this URL filled as it was typed, and with its faults."""
    g.typed, g.typed_for, g.form_error = typed, action, error
    return replay(page)


def keep() -> None:
    """Make the page that answers this form show what was typed into it."""
    g.typed, g.typed_for = read(), request.path


def replay(path: str, typed: Typed | None = None) -> Any:
    """Return what the dashboard answers this person at this path: to a form if there is `typed`, else to a GET."""
    token()
    g.is_replayed = True
    environ = create_environ(
        path,
        request.host_url,
        method="GET" if typed is None else "POST",
        data=typed,
        environ_base={"REMOTE_ADDR": request.remote_addr},
    )
    # With this browser's session, so that what is kept there is kept.
    context = RequestContext(_app(), environ, session=session._get_current_object())  # type: ignore[attr-defined]
    try:
        with context:
            return _dispatch()
    finally:
        logs.request_id.set(g.get("request_id"))


def _limit() -> int:
    return _LIMITS.get(request.endpoint or "", MOST_BYTES)


def _dispatch() -> Any:
    app = _app()
    try:
        return app.make_response(app.dispatch_request())
    except (GatewayError, HTTPException) as error:
        return app.make_response(app.handle_user_exception(error))


def _app() -> Flask:
    found: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return found
