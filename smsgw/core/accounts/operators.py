"""Manages operators, clerks and viewers, the people who use the server, and their keys."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Conflict, Invalid, NotFound
from ...settings import Settings
from ...store import audit
from ...store.audited import CRMS
from ...store.models import BrowserSession, Crm, Operator, OperatorCrm, Passkey
from . import crms
from .roles import CLERK, OPERATOR, ROLES

FIXED = "SMSGW_OPERATOR_KEY"
# All CRMs, future ones too.
ALL_CRMS: Sequence[str] | None = None


class Identity(NamedTuple):
    """The owner of a correct secret; `key_hash` is the hash of the person's key."""

    name: str
    role: str
    key_hash: str


@dataclass(frozen=True)
class Access:
    """The CRMs for which a person sends and reads: `crms` by id and name, `None` for all."""

    crms: dict[str, str] | None

    def includes(self, crm_id: str | None) -> bool:
        """Return whether this CRM is one of them."""
        return self.crms is None or crm_id in self.crms


def add(
    session: Session,
    name: str,
    now: datetime,
    role: str = OPERATOR,
    crm_names: Sequence[str] | None = ALL_CRMS,
) -> str:
    """Add a person and return the key, which is not stored. `crm_names` are a clerk's CRMs, `None` for all."""
    if not 1 <= len(name) <= 100 or not name.isprintable() or name == FIXED:
        raise Invalid.field("name", "Must have 1 to 100 printable characters.")
    if session.get(Operator, name) is not None:
        text = f"There is {name!r} already."
        raise Conflict(f"name: {text}", code="name_taken", details={"name": [text]})
    key = ids.new_operator_key()
    operator = Operator(
        name=name, role=_checked(role), key_hash=ids.hash_secret(key), created_at=now
    )
    session.add(operator)
    session.flush()
    assign(session, operator, crm_names)
    return key


def everyone(session: Session) -> list[Operator]:
    """Return all operators, by name."""
    return list(session.scalars(sa.select(Operator).order_by(Operator.name)))


def get(session: Session, name: str) -> Operator:
    """Return the operator with this name. Raises `NotFound` when there is none."""
    operator = None if "\0" in name else session.get(Operator, name)
    if operator is None:
        raise NotFound(f"no operator {name[:80]!r}")
    return operator


def set_role(session: Session, operator: Operator, role: str) -> None:
    """Set what the person may do from now on."""
    operator.role = _checked(role)
    if operator.role != CLERK:
        assign(session, operator, ALL_CRMS)
    session.flush()


def assign(session: Session, operator: Operator, crm_names: Sequence[str] | None) -> None:
    """Set the CRMs for which a clerk sends and reads; `None` for all, future ones too."""
    if crm_names is not None and operator.role != CLERK:
        text = "Only a clerk has some of the CRMs; a viewer and an operator have all."
        raise Invalid.field("crms", text)
    wanted = {} if crm_names is None else {crm.id: crm.name for crm in _crms(session, crm_names)}
    before = accesses(session, [operator])[operator.name].crms or {}
    session.execute(sa.delete(OperatorCrm).where(OperatorCrm.operator_name == operator.name))
    session.add_all(OperatorCrm(operator_name=operator.name, crm_id=crm_id) for crm_id in wanted)
    operator.uses_all_crms = crm_names is None
    session.flush()
    if before != wanted:
        fields = {CRMS: [sorted(before.values()), sorted(wanted.values())]}
        audit.note(session, "operator", operator.name, "assign", operator.name, fields)


def accesses(session: Session, operators: Sequence[Operator]) -> dict[str, Access]:
    """Return the CRMs of each of these people, by name."""
    found = _chosen_crms(session, [each.name for each in operators])
    return {
        each.name: Access(None if each.uses_all_crms else found[each.name]) for each in operators
    }


def access_to_some(session: Session, name: str) -> Access:
    """Return the CRMs of a clerk who has only some."""
    return Access(_chosen_crms(session, [name])[name])


def access_of(session: Session, name: str) -> Access:
    """Return the CRMs of the person; the fixed key has all."""
    return Access(None) if name == FIXED else accesses(session, [get(session, name)])[name]


def reset(session: Session, operator: Operator) -> str:
    """Give the person a new key and return it. Their password, codes and passkeys are removed, and all sessions end."""
    key = ids.new_operator_key()
    operator.key_hash = ids.hash_secret(key)
    operator.password_hash = operator.totp_secret = operator.totp_step = None
    _remove_logins(session, operator.name)
    session.flush()
    return key


def remove(session: Session, name: str) -> None:
    """Remove the person; the key is void and the sessions end at once."""
    operator = get(session, name)
    assign(session, operator, ALL_CRMS)
    _remove_logins(session, name)
    session.delete(operator)


def check_another_operator(session: Session, operator: Operator, settings: Settings) -> None:
    """Raise `Conflict` if this is the only operator."""
    others = sa.select(Operator.name).where(
        Operator.role == OPERATOR, Operator.name != operator.name
    )
    is_last = operator.role == OPERATOR and session.scalar(others.limit(1)) is None
    if is_last and settings.operator_key is None:
        text = f"{operator.name} is the only operator; add another one first"
        raise Conflict(text, code="last_operator")


def find_by_key(session: Session, settings: Settings, key: str) -> Identity | None:
    """Return the owner of the key; the fixed key of the settings has the setting's name and the role `operator`."""
    key_hash = ids.hash_secret(key)
    if is_fixed(settings, key_hash):
        return Identity(FIXED, OPERATOR, key_hash)
    row = session.execute(
        sa.select(Operator.name, Operator.role).where(Operator.key_hash == key_hash)
    ).first()
    return None if row is None else Identity(row.name, row.role, key_hash)


def is_fixed(settings: Settings, key_hash: str) -> bool:
    """Return whether this is the hash of the key in the settings."""
    fixed = settings.operator_key
    return fixed is not None and ids.is_secret(fixed, key_hash)


def _chosen_crms(session: Session, names: Sequence[str]) -> defaultdict[str, dict[str, str]]:
    """Return the CRMs that were chosen for each of these people, by id and name."""
    rows = session.execute(
        sa.select(OperatorCrm.operator_name, Crm.id, Crm.name)
        .join(Crm, Crm.id == OperatorCrm.crm_id)
        .where(OperatorCrm.operator_name.in_(names))
        .where(Crm.removed_at.is_(None))
        .order_by(Crm.name)
    )
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for operator_name, crm_id, crm_name in rows:
        found[operator_name][crm_id] = crm_name
    return found


def _crms(session: Session, names: Sequence[str]) -> list[Crm]:
    try:
        return [crms.get(session, name) for name in names]
    except NotFound as error:
        raise Invalid.field("crms", error.message) from None


def _checked(role: str) -> str:
    if role not in ROLES:
        raise Invalid.field("role", f"Must be one of {', '.join(ROLES)}.")
    return role


def _remove_logins(session: Session, name: str) -> None:
    session.execute(sa.delete(Passkey).where(Passkey.operator_name == name))
    session.execute(sa.delete(BrowserSession).where(BrowserSession.operator_name == name))
