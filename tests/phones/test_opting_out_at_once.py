"""A STOP at the moment at which a message to its sender is queued or handed out: one is ahead of the other."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.devices import logins
from smsgw.core.devices.locking import admit
from smsgw.core.messages import handing_out, opt_outs, queueing
from smsgw.core.messages.drafts import Draft
from smsgw.core.messages.history import writing_history
from smsgw.core.messages.opt_outs import Cause
from smsgw.errors import Invalid
from smsgw.store.models import Message

from .conftest import Stage

NUMBER = "+12025550123"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@contextmanager
def held_open(pool: ThreadPoolExecutor, act: Callable[[], Any]) -> Iterator[Future]:
    """Starts `act` in another thread inside the block, and lets it get as far as it can."""
    started = threading.Event()

    def run() -> Any:
        started.set()
        return act()

    future = pool.submit(run)
    started.wait(20)
    # It must not end before the transaction of the block has: that it waits shows only with time.
    with pytest.raises(TimeoutError):
        future.result(0.5)
    yield future


def stop(stage: Stage, session: Any) -> None:
    with writing_history(session, clock.now()) as history:
        opt_outs.add(session, stage.world.crm_id, NUMBER, Cause("api"), history)


def stop_alone(stage: Stage) -> None:
    with stage.world.database.transaction() as session:
        stop(stage, session)


def take(stage: Stage, session: Any) -> list[str]:
    login = logins.find(stage.world.database, "phone-1", clock.now())
    assert login is not None
    device = admit(session, login)
    with writing_history(session, clock.now()) as history:
        handed = handing_out.hand_out(session, device, stage.world.settings, history)
    return [one.id for one in handed]


def take_alone(stage: Stage) -> list[str]:
    with stage.world.database.transaction() as session:
        return take(stage, session)


def queue_alone(stage: Stage) -> str:
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.world.crm_id)
        draft = Draft(to=NUMBER, content="new")
        return queueing.queue_one(session, crm, stage.world.settings, draft, clock.now()).message.id


def status(stage: Stage, message_id: str) -> tuple[str, str | None]:
    with stage.world.database.reading() as session:
        message = session.get_one(Message, message_id)
        return message.status, message.reason


def test_a_stop_waits_for_the_hand_out_ahead_of_it_and_leaves_the_message_alone(stage: Stage, pool):
    (message_id,) = stage.queue()
    with stage.world.database.transaction() as session:
        assert len(take(stage, session)) == 1
        with held_open(pool, lambda: stop_alone(stage)) as stopping:
            pass
    stopping.result(20)
    assert status(stage, message_id) == ("dispatched", None)


def test_a_hand_out_behind_a_stop_hands_out_nothing(stage: Stage, pool):
    (message_id,) = stage.queue()
    with stage.world.database.transaction() as session:
        stop(stage, session)
        taking = pool.submit(take_alone, stage)
        # On PostgreSQL it passes over what the other transaction is changing; on SQLite it waits.
        with suppress(TimeoutError):
            assert taking.result(0.5) == []
    assert taking.result(20) == []
    assert status(stage, message_id) == ("failed", "opted_out")


def test_a_message_that_is_queued_behind_a_stop_is_refused(stage: Stage, pool):
    with stage.world.database.transaction() as session:
        stop(stage, session)
        with held_open(pool, lambda: queue_alone(stage)) as queueing_it:
            pass
    with pytest.raises(Invalid) as refused:
        queueing_it.result(20)
    assert refused.value.code == "opted_out"


def test_a_message_that_is_queued_ahead_of_a_stop_fails(stage: Stage, pool):
    with stage.world.database.transaction() as session:
        crm = crms.get(session, stage.world.crm_id)
        draft = Draft(to=NUMBER, content="new")
        made = queueing.queue_one(session, crm, stage.world.settings, draft, clock.now())
        with held_open(pool, lambda: stop_alone(stage)) as stopping:
            pass
    stopping.result(20)
    assert status(stage, made.message.id) == ("failed", "opted_out")
    assert take_alone(stage) == []
