"""Pages of messages of several CRMs: together they are the one list of all that these may see."""

from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy.orm import Session

from smsgw.core.accounts import crms
from smsgw.core.messages import reading
from smsgw.core.messages.filters import MessageFilters, first_id_of
from smsgw.settings import Settings
from smsgw.store.models import InboxEntry

from ..conftest import NOW, World
from ..rows import message

# So many that their statements are combined in several steps.
SILENT = [f"crm_{number:032x}" for number in range(120)]
TEXTS = ("Hauptstraße 5", "Hello")
FILTERS: list[dict[str, Any]] = [
    {},
    {"status": "sent"},
    {"status": "received"},
    {"direction": "outbound"},
    {"direction": "inbound", "status": "sent"},
    {"q": "STRASSE"},
    {"since": NOW + timedelta(minutes=10), "until": NOW + timedelta(minutes=25)},
]


class Made(NamedTuple):
    """A message with the CRMs that may see it."""

    id: str
    seen_by: set[str]
    direction: str
    status: str
    content: str
    minutes: int


@pytest.mark.parametrize("wanted", FILTERS)
def test_pages_of_some_crms_are_one_list_in_parts(world: World, wanted: dict[str, Any]):
    filters = MessageFilters(**wanted)
    with world.database.transaction() as session:
        added = [crms.add(session, name, None, NOW)[0] for name in ("branch-1", "branch-2")]
        crm_ids = [world.crm_id, *(crm.id for crm in added)]
        made = _fill(session, crm_ids)
        for chosen in ([], crm_ids[:1], crm_ids[:2], [*crm_ids, *SILENT]):
            expected = [
                one.id for one in made if one.seen_by & set(chosen) and _matches(one, filters)
            ]
            assert _walk(session, chosen, world.settings, filters) == expected
            if filters.q is None:
                counts = reading.counts(session, chosen, world.settings, filters, len(made))
                assert sum(counts.values()) == len(expected)
    assert expected or filters.direction == "inbound"


def test_pages_of_some_crms_leave_out_and_repeat_nothing_while_messages_are_added(world: World):
    with world.database.transaction() as session:
        other, _ = crms.add(session, "branch", None, NOW)
        crm_ids = [world.crm_id, other.id]
        made = _fill(session, crm_ids)
        expected = [one.id for one in made if one.seen_by]
    found: list[str] = []
    cursor = None
    for number in range(len(expected)):
        with world.database.transaction() as session:
            page, cursor = reading.page(
                session, crm_ids, world.settings, MessageFilters(), cursor, 4
            )
            found += [one.id for one in page]
            moment = NOW + timedelta(hours=1, minutes=number)
            newer = message(
                f"{first_id_of(moment)}{number:020x}", "queued", moment, crm_id=other.id
            )
            session.add(newer)
        if cursor is None:
            break
    assert found == expected


def _fill(session: Session, crm_ids: list[str]) -> list[Made]:
    """Writes messages, a minute apart, of one CRM, of several, or of none; returns them with the newest first."""
    made = []
    for minute in range(36):
        moment = NOW + timedelta(minutes=minute)
        message_id = f"{first_id_of(moment)}{minute:020x}"
        content = TEXTS[minute % 5 > 0]
        if minute % 2:
            status = ("sent", "failed")[minute % 3 == 0]
            owner = crm_ids[minute % len(crm_ids)]
            one = Made(message_id, {owner}, "outbound", status, content, minute)
            session.add(message(message_id, status, moment, crm_id=owner, content=content))
        else:
            receivers = set(crm_ids[: minute % (len(crm_ids) + 1)])
            one = Made(message_id, receivers, "inbound", "received", content, minute)
            session.add(
                message(message_id, "received", moment, direction="inbound", content=content)
            )
            session.flush()
            session.add_all(InboxEntry(crm_id=crm, message_id=message_id) for crm in receivers)
        made.append(one)
    session.flush()
    return made[::-1]


def _matches(one: Made, filters: MessageFilters) -> bool:
    moment = NOW + timedelta(minutes=one.minutes)
    return (
        filters.direction in (None, one.direction)
        and filters.status in (None, one.status)
        and (filters.q is None or one.content == TEXTS[0])
        and (filters.since is None or filters.since <= moment)
        and (filters.until is None or moment < filters.until)
    )


def _walk(
    session: Session, crm_ids: list[str], settings: Settings, filters: MessageFilters
) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page, cursor = reading.page(session, crm_ids, settings, filters, cursor, 4)
        found += [one.id for one in page]
        if cursor is None:
            return found
