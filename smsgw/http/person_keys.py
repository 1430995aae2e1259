"""Admits people by their keys in REST: operators, viewers who only read, and clerks who act for a CRM."""

from flask import g, request

from ..core.accounts import crms, operators
from ..core.accounts.operators import Access, Identity
from ..core.accounts.roles import CLERK, OPERATOR, VIEWER
from ..errors import Forbidden, Invalid, NotFound
from ..store.rows import Caller, caller_of
from . import credentials
from .context import services


def find(key: str) -> Identity | None:
    """Return who owns the key, and name the person in the audit and the log."""
    found = credentials.find_person(key)
    if found is not None:
        g.operator_name = found.name
    return found


def check_operator(person: Identity) -> None:
    """Raise `Forbidden` for a clerk and a viewer."""
    if person.role != OPERATOR:
        raise Forbidden(
            f"this needs an operator's key, and {person.name}'s role is {person.role}", code="role"
        )


def is_viewer(person: Identity) -> bool:
    """Return whether the person sees no whole numbers."""
    return person.role == VIEWER


def access(person: Identity) -> Access:
    """Return the CRMs whose objects the person may read."""
    if person.role != CLERK:
        return Access(None)
    with services().database.reading() as session:
        return operators.access_of(session, person.name)


def crm_to_read(person: Identity) -> Caller | None:
    """Return the CRM whose objects the person reads; `None` for those of all, filtered as the request asks."""
    if person.role != CLERK:
        return None
    may_use = access(person)
    return None if may_use.crms is None else _crm(person, may_use)


def crm_to_act_for(person: Identity) -> Caller:
    """Return the CRM that a clerk acts for: the one in `?crm=`, or the only one. Raises `Forbidden` for others."""
    if person.role != CLERK:
        raise Forbidden(
            f"this needs a CRM's or a clerk's key, and {person.name}'s role is {person.role}",
            code="role",
        )
    return _crm(person, access(person))


def _crm(person: Identity, may_use: Access) -> Caller:
    wanted = request.args.get("crm")
    with services().database.reading() as session:
        if wanted is not None:
            crm = crms.get(session, wanted)
            if not may_use.includes(crm.id):
                raise NotFound(f"no CRM {wanted[:80]!r}")
            return caller_of(crm)
        usable = [crm for crm in crms.everyone(session) if may_use.includes(crm.id)]
    if len(usable) != 1:
        text = f"Name one of {person.name}'s CRMs." if usable else f"{person.name} has no CRM."
        raise Invalid.field("crm", text)
    return caller_of(usable[0])
