"""Rounds of faults, drawn by chance: no SMS and no event is lost, none goes out twice, and each status is right.

`CHAOS_SECONDS=300` or `CHAOS_ROUNDS=1000` make it long (`make chaos`), and where both are given it ends with the first.
`CHAOS_SEED` repeats it, `CHAOS_KIND` plays one kind alone.
"""

import math
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from . import kinds as kinds_of_rounds
from .counting import Tally, judge, table
from .faults import can_be_made
from .kinds import Kind
from .postgresql import Postgresql
from .sqlite import Sqlite
from .world import Traffic, World

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "0"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "inf" if ROUNDS else "5"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.randrange(10**9)
KIND = os.environ.get("CHAOS_KIND", "")
# A machine may be ten times slower than one on which a round takes a second.
PATIENCE_SECONDS = 600 + min(5 * SECONDS, 10 * (ROUNDS or math.inf))


@pytest.fixture(params=[Sqlite.name, Postgresql.name])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world on each database."""
    if request.param == Sqlite.name:
        template = request.getfixturevalue("sqlite_template")
        database: Sqlite | Postgresql = Sqlite(tmp_path, template)
    else:
        request.getfixturevalue("postgresql_server")  # makes its user and lets it read the programs
        database = Postgresql()
    made = World(database, tmp_path, random.Random(SEED))
    yield made
    made.close()


@pytest.mark.timeout(PATIENCE_SECONDS)
def test_no_fault_loses_an_sms_or_an_event_or_sends_an_sms_twice(world: World) -> None:
    print(f"\n{world.database.name}, CHAOS_SEED={SEED}")
    _tell_what_is_left_out()
    kinds = [kind for kind in kinds_of_rounds.of(world.database.name) if KIND in ("", kind.name)]
    played = _play(world, kinds)
    tallies = judge(world, played, {kind.name for kind in kinds if kind.may_be_unconfirmed})
    print(table(tallies))
    assert not _faults(tallies)
    assert any(tally.messages for tally in tallies.values())


def _tell_what_is_left_out() -> None:
    if not can_be_made():
        assert not os.environ.get("CI"), "gcc is missing"
        print("without Linux and gcc: no wrong clocks, full disks and power cuts")


def _play(world: World, kinds: Sequence[Kind]) -> list[Traffic]:
    """Play rounds until there are enough, or for so long."""
    played: list[Traffic] = []
    deadline = time.monotonic() + SECONDS
    for kind in kinds_of_rounds.drawn(kinds, world.chance):
        if time.monotonic() > deadline or len(played) == (ROUNDS or None):
            break
        with world.traffic(len(played), kind.name, names_devices=kind.names_devices) as traffic:
            time.sleep(world.chance.uniform(0, 0.15))
            kind.play(world)
        played.append(traffic)
        if traffic.left:
            print(f"round {traffic.number} stands still: {sorted(traffic.left)}", flush=True)
        if len(played) % 100 == 0:
            print(f"{len(played)} rounds", flush=True)
    return played


def _faults(tallies: dict[str, Tally]) -> list[str]:
    return [text for tally in tallies.values() for text in tally.faults]
