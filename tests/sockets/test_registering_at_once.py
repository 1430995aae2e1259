"""Many who register at the same moment: no more get in than one after another."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier

import pytest

from smsgw import clock
from smsgw.core.accounts import crms, ownership
from smsgw.core.devices import pairing
from smsgw.errors import GatewayError

from .conftest import Stage

AT_ONCE = 6


def at_once(acts: Sequence) -> list:
    """What came of each, `None` where it was refused."""
    barrier = Barrier(len(acts))

    def run(act):
        barrier.wait(60)
        with suppress(GatewayError):
            return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def adding_device(stage: Stage, device_id: str):
    def act():
        with stage.world.database.transaction() as session:
            return ownership.add_waiting(session, device_id, None, None, clock.now())

    return act


def adding_crm(stage: Stage, name: str, add):
    def act():
        with stage.world.database.transaction() as session:
            return add(session, name)

    return act


def self_registered(session, name: str):
    return crms.add_unapproved(session, name, clock.now())


def by_operator(session, name: str):
    return crms.add(session, name, None, clock.now())


def test_of_devices_that_register_at_once_no_more_wait_than_may(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ownership, "MOST_WAITING", 2)
    made = at_once([adding_device(stage, f"new-{number}") for number in range(AT_ONCE)])
    assert len([one for one in made if one]) == 2


def test_of_crms_that_register_at_once_no_more_wait_than_may(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(crms, "MOST_WAITING", 2)
    made = at_once(
        [adding_crm(stage, f"new-{number}", self_registered) for number in range(AT_ONCE)]
    )
    assert len([one for one in made if one]) == 2


def test_of_device_names_that_differ_in_capitals_one_gets_in(stage: Stage):
    names = ["evil", "Evil", "eVil", "evIl", "eviL", "EVIL"]
    made = at_once([adding_device(stage, name) for name in names])
    assert len([one for one in made if one]) == 1


def test_of_crm_names_that_read_alike_one_gets_in(stage: Stage):
    names = ["Acme", "ACME", "ac me", "a.c.m.e", "ácme", "Acme"]
    made = at_once([adding_crm(stage, name, self_registered) for name in names])
    assert len([one for one in made if one]) == 1


def test_of_crms_of_one_name_that_operators_add_at_once_the_others_are_refused(stage: Stage):
    made = at_once([adding_crm(stage, "Acme", by_operator)] * AT_ONCE)
    assert len([one for one in made if one]) == 1


@pytest.mark.parametrize("who", [pairing.PHONES, pairing.CRMS])
def test_who_registers_changes_nothing_about_until_when_it_is_open(stage: Stage, who):
    now = clock.now()
    with stage.world.database.transaction() as session:
        who.lock(session)
        assert not who.is_open(session, stage.world.settings, now)
        who.open_for(session, 10, now)
        who.lock(session)
        assert who.is_open(session, stage.world.settings, now + timedelta(minutes=9))
        assert not who.is_open(session, stage.world.settings, now + timedelta(minutes=11))
