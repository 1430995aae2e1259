"""One thread for all deadlines."""

import threading
import time

from smsgw.delivery.watchdog import Watchdog

PATIENCE_SECONDS = 10


class Run:
    """Something with a deadline, which notes when it was stopped."""

    def __init__(self, seconds):
        self.deadline = time.monotonic() + seconds
        self.is_stopped = threading.Event()

    def expire(self):
        self.is_stopped.set()


def watchdogs():
    return {thread for thread in threading.enumerate() if thread.name == "watchdog"}


def test_each_is_stopped_at_its_own_deadline_also_one_that_comes_later_and_is_earlier():
    watchdog, late, early = Watchdog(), Run(60), Run(0.05)
    watchdog.watch(late)
    watchdog.watch(early)
    assert early.is_stopped.wait(PATIENCE_SECONDS)
    assert time.monotonic() >= early.deadline
    assert not late.is_stopped.is_set()
    watchdog.forget(late)


def test_what_is_done_is_not_stopped():
    watchdog, done, hangs = Watchdog(), Run(0.05), Run(0.1)
    watchdog.watch(done)
    watchdog.watch(hangs)
    watchdog.forget(done)
    assert hangs.is_stopped.wait(PATIENCE_SECONDS)
    assert not done.is_stopped.is_set()


def test_many_need_one_thread_which_ends_when_nothing_is_left_and_begins_again():
    before, watchdog = watchdogs(), Watchdog()
    for _ in range(2):
        runs = [Run(0.1) for _ in range(50)]
        for run in runs:
            watchdog.watch(run)
        assert len(watchdogs() - before) == 1
        assert all(run.is_stopped.wait(PATIENCE_SECONDS) for run in runs)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while watchdogs() - before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
