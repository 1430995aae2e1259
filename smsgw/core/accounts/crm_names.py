"""Checks the names of CRMs: printable, unused, and not to be confused with others."""

import unicodedata

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Conflict, Invalid
from ...store.models import Crm
from ..devices import pairing

_LOOK_ALIKE = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")


def checked(session: Session, name: str) -> str:
    """Return the name without blanks around it; `Invalid` or `Conflict` when a CRM cannot have it."""
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid(
            "a CRM's name has 1 to 100 printable characters", details={"name": name[:100]}
        )
    if ids.is_id(name, "crm"):
        raise Invalid("a CRM's name must not look like an id", details={"name": name})
    pairing.CRMS.lock(session)
    owner_id = session.scalar(sa.select(Crm.id).where(Crm.name == name, Crm.removed_at.is_(None)))
    if owner_id:
        raise taken(name)
    return name


def taken(name: str) -> Conflict:
    """Return the error for a name that another CRM has."""
    return Conflict(f"there is a CRM {name!r} already", code="name_taken")


def mixes_alphabets(name: str) -> bool:
    """Return whether letters of one alphabet may pass for letters of another."""
    return len({_alphabet(character) for character in name} - {None}) > 1


def folded(name: str) -> str:
    """Return the name without differences that readers overlook: capitals, widths, accents, blanks and punctuation."""
    parts = unicodedata.normalize("NFKD", name).casefold()
    return "".join(character for character in parts if character.isalnum()) or parts


def _alphabet(character: str) -> str | None:
    """Return the alphabet of a letter that may look like one of another alphabet, `None` for all other characters."""
    word = unicodedata.name(character, "").partition(" ")[0]
    return word if word in _LOOK_ALIKE else None
