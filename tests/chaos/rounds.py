"""Rounds that trouble the server, its clock, its lines and its phones while SMS go through it.

Each is a function of the world, called while a CRM queues and phones poll; it returns once the world is as it was.
"""

import time

from demo.phone import Mode

from .callers import Phone
from .world import LEASE_SECONDS, World

HOUR = 3600


def nothing(world: World) -> None:
    """Nothing happens."""


def web_killed(world: World) -> None:
    """`kill -9` of a web process, or of the one above them."""
    _kill_some(world, "smsgw web", 1)


def worker_killed(world: World) -> None:
    """`kill -9` of the process that sends webhooks."""
    _kill_some(world, "smsgw worker", 1)


def all_below_killed(world: World) -> None:
    """`kill -9` of all processes but the supervisor."""
    _kill_some(world, "", 99)


def killed_again_and_again(world: World) -> None:
    """`kill -9` of any process below the supervisor, and of the next one before all is well again."""
    for _ in range(world.chance.randint(2, 4)):
        found = world.server.children()
        world.server.kill_some(world.chance.sample(found, min(1, len(found))))
        time.sleep(world.chance.uniform(0.05, 0.5))
    world.server.wait()


def all_killed(world: World) -> None:
    """`kill -9` of everything, and another start."""
    world.server.kill()
    world.server.start()


def server_restarted(world: World) -> None:
    """SIGTERM, and another start."""
    world.server.stop()
    world.server.start()


def answers_lost(world: World) -> None:
    """The server commits and answers, and the connection ends before the caller has the answer."""
    world.relay.loss = 0.3
    time.sleep(0.5)
    world.relay.loss = 0.0


def requests_repeated(world: World) -> None:
    """The same references are queued again, from another connection at the same time."""
    world.queue_again()


def lines_cut(world: World) -> None:
    """The phones' lines fail before, while and after they send."""
    _with_phones(world, Mode.FLAKY, 0.5)


def polls_overlap(world: World) -> None:
    """Each phone makes each poll twice at the same time."""
    _with_phones(world, Mode.DUPLICATE, 0.3)


def polls_late(world: World) -> None:
    """Reports stand in a poll whose body comes after the next poll."""
    _with_phones(world, Mode.LATE_POLL, 0.3)


def app_reinstalled(world: World) -> None:
    """A phone's app loses its data after it has sent what it was handed, before it says so."""
    _with_phone(world, Mode.REINSTALL)


def phone_swapped(world: World) -> None:
    """Another phone takes over a URL after the first has sent what it was handed, before it says so."""
    _with_phone(world, Mode.SWAP)


def device_removed(world: World) -> None:
    """An operator removes a device and adds it again; its phone gets the new URL."""
    phone = world.chance.choice(world.phones)
    world.operator.repeat("DELETE", f"/api/v1/devices/{phone.name}")
    time.sleep(world.chance.uniform(0, 0.2))
    _type_url(world, phone, world.login(phone, "", {"device_id": phone.name}))


def secret_rotated(world: World) -> None:
    """A device gets another secret; the same phone or another one comes with it."""
    phone = world.chance.choice(world.phones)
    url = world.login(phone, f"/{phone.name}/rotate", {})
    time.sleep(world.chance.uniform(0, 0.2))
    _type_url(world, phone, url)


def clock_ahead(world: World) -> None:
    """The server's clock goes an hour ahead, and comes back when all has ended."""
    world.server.machine.set_clock(HOUR)
    world.after_round(lambda: world.server.machine.set_clock(0))


def clock_steps(world: World) -> None:
    """The server's clock goes an hour ahead, an hour back, and is right again."""
    for hours in (1, -1, 0):
        time.sleep(world.chance.uniform(0, 0.2))
        world.server.machine.set_clock(hours * HOUR)


def two_servers(world: World) -> None:
    """A second server with a clock 30 s off takes half of the connections for the round."""
    server = world.add_server("second")
    server.machine.set_clock(world.chance.choice([30, -30]))
    world.after_round(lambda: world.remove_server(server))


def _kill_some(world: World, command: str, most: int) -> None:
    found = world.server.children(command)
    world.server.kill_some(world.chance.sample(found, min(most, len(found))))
    world.server.wait()


def _with_phones(world: World, mode: Mode, seconds: float) -> None:
    for each in (mode, Mode.OK):
        for phone in world.phones:
            phone.behave(each)
        time.sleep(seconds)


def _with_phone(world: World, mode: Mode) -> None:
    """One phone loses its data, if it is handed anything meanwhile; at once or later its operator resets the device."""
    phone = world.chance.choice(world.phones)
    phone.behave(mode)
    time.sleep(0.4)
    phone.behave(Mode.OK)
    time.sleep(world.chance.choice([0.0, 1.5 * LEASE_SECONDS]))
    _reset(world, phone)
    world.after_round(phone.renew)


def _type_url(world: World, phone: Phone, url: str) -> None:
    """The same phone gets the URL, or another one, for which the device is reset first, as the docs say."""
    is_new_phone = world.chance.random() < 0.5
    if is_new_phone:
        _reset(world, phone)
    phone.type_url(url, is_new_phone=is_new_phone)


def _reset(world: World, phone: Phone) -> None:
    world.operator.repeat("POST", f"/api/v1/devices/{phone.name}/reset")
