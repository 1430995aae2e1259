"""Rounds that trouble the database and its disk while SMS go through the server."""

import time

from .postgresql import Postgresql
from .sqlite import Sqlite
from .world import World


def disk_full(world: World) -> None:
    """The disk has no room for a while."""
    world.server.machine.fill_disk(True)
    time.sleep(world.chance.uniform(0.1, 0.6))
    world.server.machine.fill_disk(False)


def database_locked(world: World) -> None:
    """Another program holds SQLite's write lock."""
    _sqlite(world).hold_lock(world.chance.uniform(0.3, 1.5))


def database_backed_up(world: World) -> None:
    """SQLite's own backup copies the file, and begins again at each change."""
    _sqlite(world).back_up()


def power_cut(world: World) -> None:
    """All is killed, and what was not synced is not on the disk, or torn."""
    world.server.kill()
    world.server.start(**_sqlite(world).begin_record())
    time.sleep(world.chance.uniform(0, 0.3))
    world.server.kill()
    _sqlite(world).cut_power(world.chance)
    world.server.start()


def postgresql_restarted(world: World) -> None:
    """`pg_ctl stop -m fast`, and another start."""
    node = _postgresql(world).primary
    node.stop("fast")
    time.sleep(world.chance.uniform(0, 0.2))
    node.start()


def postgresql_killed(world: World) -> None:
    """`kill -9` of PostgreSQL, and another start."""
    node = _postgresql(world).primary
    node.kill()
    node.revive()


def postgresql_disk_full(world: World) -> None:
    """PostgreSQL's disk has no room for a while; it is started again if that has ended it."""
    node = _postgresql(world).primary
    node.machine.fill_disk(True)
    time.sleep(world.chance.uniform(0.1, 0.6))
    node.machine.fill_disk(False)
    node.revive()


def connections_ended(world: World) -> None:
    """PostgreSQL ends all connections, three times."""
    for _ in range(3):
        _postgresql(world).terminate_connections()
        time.sleep(world.chance.uniform(0, 0.1))


def postgresql_read_only(world: World) -> None:
    """PostgreSQL takes no changes for a while."""
    with _postgresql(world).read_only():
        time.sleep(world.chance.uniform(0.1, 0.6))


def failed_over(world: World) -> None:
    """PostgreSQL is killed, and its synchronous copy on another host takes its place."""
    _postgresql(world).begin_replication()
    time.sleep(world.chance.uniform(0, 0.2))
    _postgresql(world).fail_over()


def _sqlite(world: World) -> Sqlite:
    assert isinstance(world.database, Sqlite)
    return world.database


def _postgresql(world: World) -> Postgresql:
    assert isinstance(world.database, Postgresql)
    return world.database
