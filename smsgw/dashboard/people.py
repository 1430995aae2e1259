"""Serves `/admin/people` and `/admin/person`: who may sign in, what each may do, and where they are signed in."""

from collections import Counter
from typing import Any

from flask import flash, redirect, request, url_for

from .. import clock
from ..core.accounts import browser_sessions, crms, operators, passkeys
from ..core.accounts.roles import CLERK, OPERATOR
from ..http.context import services
from . import forms, navigation, rendering
from .blueprint import blueprint
from .guards import allows

navigation.add("People", "people", role=OPERATOR, icon="users", order=90)

ROLES = (
    ("viewer", "Viewer: sees everything except whole numbers, changes nothing"),
    ("clerk", "Clerk: also sends, reads and answers messages"),
    ("operator", "Operator: everything"),
)


@blueprint.get("/people")
@allows(OPERATOR)
def people() -> Any:
    """List the people, with a form to add one."""
    return _people()


@blueprint.post("/people/add")
@allows(OPERATOR, confirmed=True)
def add_person() -> Any:
    """Add a person and show the key once."""
    name, role = forms.text("name"), forms.text("role")
    with services().database.transaction() as session:
        key = operators.add(session, name, clock.now(), role, _crm_names(role))
    return _people(made={"name": name, "key": key})


@blueprint.get("/person")
@allows(OPERATOR)
def person() -> Any:
    """Show one person."""
    return _person(request.args.get("name", ""))


@blueprint.post("/person/change")
@allows(OPERATOR, confirmed=True)
def change_person() -> Any:
    """Change what a person may do."""
    name, role = forms.text("name"), forms.text("role")
    with services().database.transaction() as session:
        found = operators.get(session, name)
        if role != OPERATOR:
            operators.check_another_operator(session, found, services().settings)
        operators.set_role(session, found, role)
        operators.assign(session, found, _crm_names(role))
    flash(f"{name} is {role} now.")
    return redirect(url_for("dashboard.person", name=name), 303)


@blueprint.post("/person/reset")
@allows(OPERATOR, confirmed=True)
def reset_person() -> Any:
    """Give a person a new key and show it once."""
    name = forms.text("name")
    with services().database.transaction() as session:
        key = operators.reset(session, operators.get(session, name))
    return _person(name, key)


@blueprint.post("/person/remove")
@allows(OPERATOR, confirmed=True)
def remove_person() -> Any:
    """Remove a person."""
    name = forms.text("name")
    with services().database.transaction() as session:
        operators.check_another_operator(session, operators.get(session, name), services().settings)
        operators.remove(session, name)
    flash(f"{name} was removed.")
    return redirect(url_for("dashboard.people"), 303)


@blueprint.post("/person/sign-out")
@allows(OPERATOR, confirmed=True)
def end_session() -> Any:
    """End a session of anybody."""
    with services().database.transaction() as session:
        browser_sessions.end(session, forms.text("id"))
    flash("That session has ended.")
    return redirect(forms.local_path(forms.text(forms.PAGE)) or url_for("dashboard.people"), 303)


def _people(made: dict[str, str] | None = None) -> Any:
    now = clock.now()
    with services().database.reading() as session:
        found = operators.everyone(session)
        accesses = operators.accesses(session, found)
        sessions = browser_sessions.of_everyone(session, now)
        crm_names = [crm.name for crm in crms.everyone(session)]
    return rendering.render(
        "people.html",
        title="People",
        people=found,
        accesses=accesses,
        counts=Counter(each.operator_name for each in sessions),
        others=[each for each in sessions if each.operator_name == operators.FIXED],
        roles=ROLES,
        crm_names=crm_names,
        made=made,
    )


def _person(name: str, key: str | None = None) -> Any:
    now = clock.now()
    with services().database.reading() as session:
        found = operators.get(session, name)
        access = operators.access_of(session, name)
        own_passkeys = passkeys.of(session, name)
        sessions = browser_sessions.of_everyone(session, now)
        crm_names = [crm.name for crm in crms.everyone(session)]
    return rendering.render(
        "person.html",
        title=name,
        one=found,
        access=access,
        passkeys=own_passkeys,
        sessions=[each for each in sessions if each.operator_name == name],
        roles=ROLES,
        crm_names=crm_names,
        key=key,
    )


def _crm_names(role: str) -> list[str] | None:
    """Return the CRMs that were ticked for a clerk; `None` for all."""
    is_of_some = role == CLERK and forms.text("which") == "some"
    return list(forms.texts("crms")) if is_of_some else None
