"""The kinds of rounds: what is played on which database, how often, and what messages may come to by it."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import database_rounds, rounds
from .faults import can_be_made
from .postgresql import Postgresql
from .sqlite import Sqlite
from .world import World


@dataclass(frozen=True)
class Kind:
    """A kind of round: on which databases, and what follows from it for messages.

    `may_be_unconfirmed`: phones forget what they were handed, so the server may not know whether an SMS went out.
    `needs_library`: it preloads a library, which is built with gcc on Linux. `share` is how many of its rounds come to
    one of the others: less where programs start, which takes seconds.
    """

    play: Callable[[World], None]
    databases: tuple[str, ...] = (Sqlite.name, Postgresql.name)
    may_be_unconfirmed: bool = False
    names_devices: bool = True
    needs_library: bool = False
    share: int = 4

    @property
    def name(self) -> str:
        return self.play.__name__


def two_at_once(world: World) -> None:
    """A fault of the database, and at the same time one of the server, its lines or its phones."""
    of_database = ON_SQLITE if isinstance(world.database, Sqlite) else ON_POSTGRESQL
    chosen = world.chance.choice(of_database), world.chance.choice(ANYWHERE)
    with ThreadPoolExecutor(len(chosen)) as pool:
        for played in [pool.submit(play, world) for play in chosen]:
            played.result()


ANYWHERE = (
    rounds.web_killed,
    rounds.worker_killed,
    rounds.all_below_killed,
    rounds.answers_lost,
    rounds.requests_repeated,
    rounds.lines_cut,
    rounds.polls_overlap,
    rounds.polls_late,
)
ON_SQLITE = (database_rounds.database_locked, database_rounds.database_backed_up)
ON_POSTGRESQL = (
    database_rounds.postgresql_restarted,
    database_rounds.postgresql_killed,
    database_rounds.connections_ended,
    database_rounds.postgresql_read_only,
)
KINDS = (
    Kind(rounds.nothing),
    Kind(rounds.web_killed),
    Kind(rounds.worker_killed),
    Kind(rounds.all_below_killed, share=1),
    Kind(rounds.killed_again_and_again, share=1),
    Kind(rounds.all_killed, share=1),
    Kind(rounds.server_restarted, share=1),
    Kind(two_at_once, share=2),
    Kind(rounds.answers_lost),
    Kind(rounds.requests_repeated),
    Kind(rounds.lines_cut),
    Kind(rounds.polls_overlap),
    Kind(rounds.polls_late),
    Kind(rounds.app_reinstalled, may_be_unconfirmed=True),
    Kind(rounds.phone_swapped, may_be_unconfirmed=True),
    Kind(rounds.device_removed, may_be_unconfirmed=True, names_devices=False),
    Kind(rounds.secret_rotated, may_be_unconfirmed=True),
    Kind(rounds.clock_ahead, needs_library=True),
    Kind(rounds.clock_steps, needs_library=True, share=1),
    Kind(database_rounds.disk_full, (Sqlite.name,), needs_library=True),
    Kind(database_rounds.database_locked, (Sqlite.name,)),
    Kind(database_rounds.database_backed_up, (Sqlite.name,)),
    Kind(database_rounds.power_cut, (Sqlite.name,), needs_library=True, share=1),
    Kind(database_rounds.postgresql_restarted, (Postgresql.name,)),
    Kind(database_rounds.postgresql_killed, (Postgresql.name,)),
    Kind(database_rounds.postgresql_disk_full, (Postgresql.name,), needs_library=True),
    Kind(database_rounds.connections_ended, (Postgresql.name,)),
    Kind(database_rounds.postgresql_read_only, (Postgresql.name,)),
    Kind(database_rounds.failed_over, (Postgresql.name,), share=1),
    Kind(rounds.two_servers, (Postgresql.name,), needs_library=True, share=1),
)


def of(database: str) -> list[Kind]:
    """The kinds that can be played on this database, on this machine."""
    return [
        kind
        for kind in KINDS
        if database in kind.databases and (can_be_made() or not kind.needs_library)
    ]


def drawn(kinds: Sequence[Kind], chance: random.Random) -> Iterator[Kind]:
    """Each kind as often as its share, in an order left to chance; then all of them again."""
    shares = [kind.share for kind in kinds]
    while True:
        yield from chance.sample(kinds, sum(shares), counts=shares)
