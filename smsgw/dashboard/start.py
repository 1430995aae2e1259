"""Serves `/admin/start`: the steps from a new server to the first SMS that arrives."""

import hashlib
import itertools
from typing import Any

from flask import flash, redirect, request, session, url_for

from .. import clock
from ..core.accounts import crms
from ..core.accounts.roles import CLERK, OPERATOR
from ..core.messages import queueing, reading
from ..core.messages.drafts import Draft
from ..core.operations import first_steps
from ..core.operations.first_steps import FirstSteps
from ..errors import NotFound
from ..http.context import services
from ..sms import statuses
from ..store.db import Session
from . import addresses, device_logins, forms, navigation, program_lines, rendering, visitors
from .blueprint import blueprint
from .guards import allows

navigation.add("First steps", "start", role=OPERATOR, icon="rocket", order=95)

_TEXT = "Hello from smsgw. This is a test."
# The name of the CRM that is added for the test if there is none.
_CRM = "default"
# The name in the cookie of the last test's id.
_TEST = "test"


@blueprint.get("/start")
@allows(OPERATOR)
def start() -> Any:
    """Show the steps."""
    return _start()


@blueprint.get("/start/news")
@allows(OPERATOR)
def start_news() -> Any:
    """Show the steps again if one of them has been done."""
    shown = _shown()
    if request.args.get("seen") == shown["position"]:
        return rendering.nothing_new()
    forms.are_on(url_for("dashboard.start"))
    return rendering.fragment("_start.html", **shown)


@blueprint.post("/start/device")
@allows(OPERATOR, confirmed=True)
def add_first_device() -> Any:
    """Add a phone and show its login once."""
    return _start(login=device_logins.add())


@blueprint.post("/start/test")
@allows(OPERATOR)
def send_test() -> Any:
    """Queue the test SMS for whichever phone polls first."""
    draft = Draft(to=forms.text("to"), content=forms.text("content"))
    settings, now = services().settings, clock.now()
    with services().database.transaction() as transaction:
        known = crms.everyone(transaction)
        crm = known[0] if known else crms.add(transaction, _CRM, None, now)[0]
        queued = queueing.queue_one(transaction, crm, settings, draft, now)
        session[_TEST] = queued.message.id
    flash("The test is queued. Watch it below.")
    return redirect(url_for("dashboard.start"), 303)


@blueprint.post("/start/crm")
@allows(OPERATOR, confirmed=True)
def add_first_crm() -> Any:
    """Add a CRM and show a command with its key once."""
    with services().database.transaction() as transaction:
        crm, key = crms.add(transaction, forms.text("name"), None, clock.now())
    command = program_lines.sending(key).curl
    return _start(crm={"name": crm.name, "key": key, "command": command})


def first_page() -> str:
    """Return the first page of the signed-in person: conversations for a clerk, the overview for others.

    For an operator it is this page until the first SMS was delivered.
    """
    if visitors.person().role == CLERK:
        return "conversations_list"
    if visitors.is_allowed(OPERATOR):
        with services().database.reading() as transaction:
            if not first_steps.is_done(transaction, clock.now()):
                return "start"
    return "overview"


def _start(**made: Any) -> Any:
    shown = _shown()
    return rendering.render("start.html", title="First steps", **shown, **made)


def _shown() -> dict[str, Any]:
    with services().database.reading() as transaction:
        steps = first_steps.find(transaction)
        test = _test(transaction)
    is_arrived = steps.is_delivered or (test or {}).get("status") == statuses.DELIVERED
    return {
        "steps": steps,
        "test": test,
        "is_arrived": is_arrived,
        "is_tested": steps.is_sent or test is not None,
        "has_failed": test is not None and test["reason"] is not None,
        "phone_base": addresses.for_phones(),
        "position": _position(steps, test),
        "text": _TEXT,
        "free_name": _free_name(steps.device_ids),
    }


def _free_name(taken: list[str]) -> str:
    """Return a name that no phone has yet."""
    names = (f"phone-{number}" for number in itertools.count(1))
    return next(name for name in names if name not in taken)


def _test(transaction: Session) -> dict[str, Any] | None:
    """Return the test SMS that was sent from this browser."""
    if _TEST not in session:
        return None
    try:
        message = reading.get(transaction, None, str(session[_TEST]))
    except NotFound:
        return None
    return reading.whole_shape(transaction, message, services().settings, clock.now())


def _position(steps: FirstSteps, test: dict[str, Any] | None) -> str:
    waiting = (test or {}).get("waiting_for") or {}
    facts = (
        len(steps.device_ids),
        steps.polled_device_id,
        len(steps.crm_names),
        steps.is_delivered,
        (test or {}).get("updated_at"),
        waiting.get("text"),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
