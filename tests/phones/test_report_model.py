"""The server and an independent model of the report rules agree, over all sequences of words in up to three polls."""

import itertools
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.devices import locking, pauses
from smsgw.core.messages import dispatching
from smsgw.core.messages.history import writing_history
from smsgw.store.models import Dispatch, Event, Message

from .conftest import act_while_reading, update
from .report_model import RANK, STATUS, Model
from .test_handing_out import use

# All of them take minutes: of the longer sequences the suite takes one in so many, and other ones each time.
EVERY = int(os.environ.get("FUZZ_EVERY", "20"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.randrange(10**9)
MOST_AT_ONCE = 240
WORDS = [
    ("UNSENT", None),
    ("PENDING", None),
    ("SENT", None),
    ("DELIVERED", None),
    ("FAILED", "generic; errorCode=1"),
]
RARE_WORDS = [("FAILED", "Delivery failed: Congestion"), ("FAILED", "no-service"), ("WEIRD", None)]
# What the stock app says next, by the table of its transitions. A person's retry comes after PENDING or FAILED.
NEXT = {
    None: {"UNSENT"},
    "UNSENT": {"PENDING", "DELIVERED"},
    "PENDING": {"UNSENT", "SENT", "DELIVERED", "FAILED"},
    "SENT": {"DELIVERED"},
    "FAILED": {"UNSENT", "DELIVERED"},
    "DELIVERED": set(),
}


@dataclass(frozen=True)
class Poll:
    """A request with these parts of what the phone says; `during` is what is served while its body is on its way."""

    parts: tuple[int, ...]
    during: tuple["Poll", ...] = ()


IDLE = Poll(())
WAIT = "six minutes"
SET_UP = "the app checks its URL, and three polls confirm nothing"
WAYS = {
    "in order": {1: [Poll((0,))], 2: [Poll((0,)), Poll((1,))], 3: [Poll((n,)) for n in range(3)]},
    "minutes apart": {
        2: [Poll((0,)), WAIT, Poll((1,))],
        3: [Poll((0,)), WAIT, Poll((1,)), WAIT, Poll((2,))],
    },
    "with an idle poll between": {
        2: [Poll((0,)), WAIT, IDLE, Poll((1,))],
        3: [Poll((0,)), WAIT, IDLE, Poll((1,)), WAIT, IDLE, Poll((2,))],
    },
    "repeated": {n: [Poll((k // 2,)) for k in range(2 * n)] for n in (1, 2, 3)},
    "unanswered": {n: [Poll(tuple(range(k + 1))) for k in range(n)] for n in (2, 3)},
    "unanswered at first": {3: [Poll((0,)), Poll((0, 1)), Poll((2,))]},
    "unanswered later": {3: [Poll((0,)), Poll((1,)), Poll((1, 2))]},
    "overlapping with the same": {
        1: [Poll((0,), (Poll((0,)),))],
        2: [Poll((0,), (Poll((0, 1)),))],
        3: [Poll((0,), (Poll((0, 1)),)), Poll((2,))],
    },
    "overlapping twice": {3: [Poll((0,), (Poll((0, 1)), Poll((2,))))]},
    "overlapping with what is new": {
        2: [Poll((0,), (Poll((1,)),))],
        3: [Poll((0,)), Poll((1,), (Poll((2,)),))],
    },
    "overlapping with an idle poll": {
        2: [Poll((), (Poll((0,)),)), Poll((0, 1))],
        3: [Poll((), (Poll((0,)),)), Poll((0, 1)), IDLE, Poll((2,))],
    },
    "late": {2: [Poll((0, 1)), Poll((0,))], 3: [Poll((0, 1)), Poll((0,)), Poll((2,))]},
    "late by one": {3: [Poll((0, 1)), Poll((2,)), Poll((0,))]},
    "late and minutes apart": {2: [Poll((0, 1)), WAIT, Poll((0,))]},
    "after the phone was set up again": {
        1: [SET_UP, Poll((0,))],
        2: [SET_UP, Poll((0,)), Poll((1,))],
    },
}
IN_THEIR_ORDER = list(WAYS)[:7]


@dataclass
class Case:
    """One dispatch, the parts of what its phone says of it, and what the model makes of that."""

    parts: list[list[tuple[str, str | None]]]
    model: Model = field(default_factory=Model)
    dispatch_id: str = ""
    message_id: str = ""

    def words(self, poll: Poll) -> list[tuple[str, str | None]]:
        return [word for part in poll.parts for word in self.parts[part]]


def sequences() -> list[tuple[tuple[str, str | None], ...]]:
    """All of one and two words, rare ones too, and of longer ones a sample that grows with what may be taken."""
    chosen = random.Random(SEED)
    found = [*itertools.product(WORDS + RARE_WORDS, repeat=1)]
    found += itertools.product(WORDS + RARE_WORDS, repeat=2)
    for length, words in ((3, WORDS + RARE_WORDS), (4, WORDS)):
        every = list(itertools.product(words, repeat=length))
        found += chosen.sample(every, max(len(every) // EVERY, min(len(every), 30)))
    return found


def splits(words: tuple, count: int) -> Iterator[list[list]]:
    for cuts in itertools.combinations(range(1, len(words)), count - 1):
        edges = [0, *cuts, len(words)]
        yield [list(words[a:b]) for a, b in pairwise(edges)]


def groups(ways: dict[int, list]) -> Iterator[tuple[list, list[Case]]]:
    """The steps of each number of polls, and cases for them, as many as fit into a poll."""
    for count, steps in ways.items():
        cases = [Case(parts) for words in sequences() for parts in splits(words, count)]
        for start in range(0, len(cases), MOST_AT_ONCE):
            yield steps, cases[start : start + MOST_AT_ONCE]


class Rehearsal:
    """Cases that live through the same steps, with one dispatch more that the phone says nothing of."""

    def __init__(self, stage, monkeypatch, cases: list[Case]):
        self.stage, self.monkeypatch, self.cases = stage, monkeypatch, cases
        self.began = clock.now()
        self.silent = Case([])
        self._hand_out([*cases, self.silent])
        self.may_come_again = {self.silent.dispatch_id}

    def _hand_out(self, cases: list[Case]) -> None:
        message_ids = self.stage.queue(len(cases))
        world = self.stage.world
        with (
            world.database.transaction() as session,
            writing_history(session, clock.now()) as history,
        ):
            device = locking.lock(session, "phone-1")
            made = dispatching.dispatch_new(session, message_ids, device, world.settings, history)
        for case, (dispatch_id, message) in zip(cases, made, strict=True):
            case.dispatch_id, case.message_id = dispatch_id, message.id

    def at(self) -> float:
        return (clock.now() - self.began).total_seconds()

    def take(self, step) -> None:
        if step == WAIT:
            self.stage.pass_time(minutes=6)
        elif step == SET_UP:
            self._set_up()
        else:
            self._poll(step)
        self.stage.pass_time(seconds=20)

    def _poll(self, poll: Poll, is_overtaken: bool = False) -> None:
        updates = [
            {"id": case.dispatch_id, "status": word, **({"reason": reason} if reason else {})}
            for case in self.cases
            for word, reason in case.words(poll)
        ]
        if poll.during:
            act_while_reading(self.monkeypatch, lambda: [self._poll(one) for one in poll.during])
        assert set(self.handed(updates)) <= self.may_come_again
        for case in self.cases:
            if poll.parts:
                case.model.request(case.words(poll), self.at(), bool(poll.during))
            elif not poll.during:
                case.model.idle()
        if not poll.parts:
            self.write_sightings()

    def handed(self, updates=()) -> list[str]:
        return [one["id"] for one in self.stage.poll(updates=list(updates))]

    def write_sightings(self) -> None:
        with self.stage.world.database.transaction() as session:
            services = self.stage.world.app.extensions["smsgw"]
            services.last_seen_writer.sightings.write(session)

    def _set_up(self) -> None:
        stage = self.stage
        stage.world.client.get("/api/sms", headers=stage.world.as_device())
        for _ in range(3):
            stage.pass_time(minutes=3)
            assert self.handed() == []
        for case in self.cases:
            case.model.assume_failure(self.at())
            case.model.idle()

    def compare(self) -> list[str]:
        """What differs, one line each."""
        statuses, events = self._found()
        return [
            f"{[[w for w, _ in part] for part in case.parts]}: {found} and not {wanted}"
            for case in self.cases
            for found, wanted in [
                (statuses[case.dispatch_id], case.model.status),
                (events[case.message_id], case.model.events),
            ]
            if found != wanted
        ]

    def _found(self) -> tuple[dict[str, str], dict[str, list[str]]]:
        ids = [case.message_id for case in self.cases]
        with self.stage.world.database.reading() as session:
            rows = session.execute(
                sa.select(Dispatch.id, Dispatch.status, Message.status)
                .join(Message, Message.id == Dispatch.message_id)
                .where(Message.id.in_(ids))
            ).all()
            announced = session.execute(
                sa.select(Event.message_id, Event.type)
                .where(Event.message_id.in_(ids), Event.type != "message.dispatched")
                .order_by(Event.seq)
            ).all()
        assert all(dispatch == message for _, dispatch, message in rows)
        events = defaultdict(list)
        for message_id, event_type in announced:
            events[message_id].append(event_type)
        return {row[0]: row[1] for row in rows}, events


@pytest.fixture
def plenty(stage, monkeypatch):
    """A phone that may have any number in hand, and that no failures pause."""
    monkeypatch.setattr(pauses, "after", lambda pause, *_: pause)
    use(stage, segments_per_minute=10**9, in_flight_per_device=10**6, queue_limit=10**6)
    return stage


@pytest.mark.parametrize("way", WAYS)
def test_the_server_reads_reports_as_the_model_does(plenty, monkeypatch, way):
    count = 0
    for steps, cases in groups(WAYS[way]):
        rehearsal = Rehearsal(plenty, monkeypatch, cases)
        for step in steps:
            rehearsal.take(step)
        differences = rehearsal.compare()
        assert not differences, f"FUZZ_SEED={SEED}: {len(differences)}\n" + "\n".join(
            differences[:20]
        )
        for case in cases:
            assert_events_are_in_order(case)
            if way in IN_THEIR_ORDER:
                assert_the_truth_is_shown(case, way)
        plenty.pass_time(minutes=3)
        again = rehearsal.handed()
        assert again == ([] if SET_UP in steps else [rehearsal.silent.dispatch_id])
        plenty.report(rehearsal.silent.dispatch_id, "SENT")
        count += len(cases)
    print(f"{way}: {count:,} sequences")


def assert_events_are_in_order(case: Case) -> None:
    """Each at most once and never back, until a failure: a person's retry begins anew."""
    ranks = [RANK.index(event.removeprefix("message.")) for event in case.model.events]
    failed = RANK.index("failed")
    for earlier, later in pairwise(ranks):
        assert earlier == failed or later > earlier or (earlier, later) == (failed + 1, failed), (
            case
        )
        assert earlier != RANK.index("delivered"), case


def assert_the_truth_is_shown(case: Case, way: str) -> None:
    """What a stock app says in its order ends in what it said last."""
    words = [word for part in case.parts for word, _ in part]
    if not all(word in NEXT.get(before, ()) for before, word in pairwise([None, *words])):
        return
    if way in ("minutes apart", "with an idle poll between") or not retries_in_another_poll(case):
        assert case.model.status == STATUS[words[-1]], case


def retries_in_another_poll(case: Case) -> bool:
    """Whether a person tries again soon after a failure: that is shown once it has ended."""
    last = [word for word, _ in case.parts[-1]]
    since_failure = last[
        max((n for n, word in enumerate(last) if word == "FAILED"), default=-1) + 1 :
    ]
    is_under_way = bool(since_failure) and set(since_failure) <= {"UNSENT", "PENDING"}
    before = [word for part in case.parts[:-1] for word, _ in part]
    return is_under_way and "FAILED" in before and "FAILED" not in last


@pytest.mark.parametrize("is_seen_quiet", [False, True])
def test_a_resent_message_is_handed_out_again_exactly_where_its_first_dispatch_has_failed(
    plenty, monkeypatch, is_seen_quiet
):
    """The second dispatch's answer was lost, and the phone goes on to speak of the first one."""
    begun = [("UNSENT", None), ("PENDING", None), ("FAILED", "generic; errorCode=1")]
    cases = [
        Case([begun, *parts])
        for length in (1, 2)
        for words in itertools.product(WORDS, repeat=length)
        for parts in splits((*words, ("WEIRD", None)), 2)
    ]
    rehearsal = Rehearsal(plenty, monkeypatch, cases)
    rehearsal.take(Poll((0,)))
    plenty.poll(updates=[update(rehearsal.silent.dispatch_id, "SENT")])
    plenty.pass_time(minutes=6)
    for case in cases:
        plenty.resend(case.message_id)
    second = {}
    while handed := plenty.poll():
        second.update({one["id"]: one for one in handed})
    assert len(second) == len(cases)
    if is_seen_quiet:
        rehearsal.write_sightings()
        for case in cases:
            case.model.idle()
    for step in (Poll((1,)), Poll((2,))):
        rehearsal.overtaken = set(second)
        rehearsal.take(step)
    expected = sum(case.model.status == "failed" for case in cases)
    plenty.pass_time(minutes=3)
    again = []
    while handed := rehearsal.handed():
        again += handed
    assert len(again) == expected
    with plenty.world.database.reading() as session:
        of = dict(session.execute(sa.select(Dispatch.id, Dispatch.message_id)).all())
    assert {of[one] for one in again} == {
        case.message_id for case in cases if case.model.status == "failed"
    }
