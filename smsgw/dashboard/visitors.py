"""Finds the signed-in person of this request."""

from datetime import datetime

from flask import g, request, session

from .. import clock
from ..core.accounts import browser_sessions, operators, roles
from ..core.accounts.browser_sessions import SignedIn
from ..core.accounts.operators import Access, Identity
from ..core.accounts.roles import CLERK
from ..http.context import services
from ..store import outages
from ..store.db import Session

# The name in the signed cookie of the session's id.
_ID = "id"


def find() -> SignedIn | None:
    """Return the signed-in person, and note the use of the session unless the page only asked for news."""
    found: SignedIn | None = g.get("person")
    if found is None and _ID in session:
        found = _find(str(session[_ID]))
        _remember(found)
    return found


def person() -> SignedIn:
    """Return the signed-in person; for views behind a guard."""
    found: SignedIn = g.person
    return found


def is_allowed(role: str) -> bool:
    """Return whether the signed-in person has at least this role."""
    return roles.includes(person().role, role)


def access(transaction: Session) -> Access:
    """Return the CRMs whose messages this person may see and send; `Access.crms` is `None` for all of them."""
    found: Access | None = g.get("access")
    if found is None:
        here = person()
        has_all = here.role != CLERK or here.uses_all_crms
        found = g.access = (
            Access(None) if has_all else operators.access_to_some(transaction, here.name)
        )
    return found


def was_signed_in() -> bool:
    """Return whether the browser has a cookie of ours that names a session, even one that has ended."""
    return _ID in session


def begin(identity: Identity) -> None:
    """Sign this browser in. Its cookie is new, so nobody can have prepared it."""
    now = clock.now()
    with services().database.transaction() as transaction:
        token = browser_sessions.begin(transaction, identity, request.remote_addr, now)
        found = browser_sessions.find(transaction, services().settings, token, now)
    session.clear()
    session.permanent = True
    session[_ID] = token
    g.pop("csrf_token", None)
    _remember(found)


def end() -> None:
    """Sign this browser out."""
    found = find()
    if found is not None:
        with services().database.transaction() as transaction:
            browser_sessions.end(transaction, found.id_hash)
    session.clear()
    g.pop("csrf_token", None)
    _remember(None)


def confirm() -> None:
    """Note that the person has just typed a secret."""
    with services().database.transaction() as transaction:
        g.person = browser_sessions.confirm(transaction, person(), clock.now())


def is_confirmed() -> bool:
    """Return whether the person has typed a secret lately."""
    return browser_sessions.is_confirmed(person(), clock.now())


def is_poll() -> bool:
    """Return whether an open page asks for news, which keeps no session alive."""
    return request.method == "GET" and "seen" in request.args


def _find(token: str) -> SignedIn | None:
    now, database = clock.now(), services().database
    with database.reading() as transaction:
        found = browser_sessions.find(transaction, services().settings, token, now)
    if found is not None and not is_poll() and browser_sessions.is_to_be_touched(found, now):
        _touch(found, now)
    return found


def _touch(found: SignedIn, now: datetime) -> None:
    """Note that the session is in use, unless the database takes no changes: pages must explain that too."""
    try:
        with services().database.transaction() as transaction:
            browser_sessions.touch(transaction, found, request.remote_addr, now)
    except outages.DatabaseError as error:
        if not outages.is_outage(error):
            raise
        outages.log.note(error)


def _remember(found: SignedIn | None) -> None:
    g.person = found
    g.pop("access", None)
    # The actor in the audit and in the log.
    g.operator_name = None if found is None else found.name
