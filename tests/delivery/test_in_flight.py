"""Deliveries that were claimed ahead: which attempt begins next, and what is given back when none may."""

from collections import Counter
from typing import Any

import pytest

from smsgw.core.webhooks.claiming import Claimed
from smsgw.core.webhooks.retries import AttemptResult
from smsgw.delivery import in_flight as module
from smsgw.delivery.attempts import OnResult
from smsgw.delivery.in_flight import InFlight
from tests.conftest import NOW

OK: dict[str, Any] = {"status_code": 200}
HANGS: dict[str, Any] = {"error": "timeout"}


class Carrier:
    """Attempts that run until the test ends them."""

    def __init__(self, most_at_once: int = 16) -> None:
        self.running: list[tuple[Claimed, OnResult]] = []
        self.most: Counter[str] = Counter()
        self.in_flight = InFlight(self.begin, most_at_once)

    def begin(self, claimed: Claimed, on_result: OnResult) -> bool:
        self.running.append((claimed, on_result))
        counts = self.counts()
        self.most |= counts
        self.most["all"] = max(self.most["all"], counts.total())
        return True

    def claim(self, *endpoint_ids: str) -> None:
        for number, endpoint_id in enumerate(endpoint_ids):
            self.in_flight.begin(claimed(f"{endpoint_id}-{number}", endpoint_id))

    def counts(self) -> Counter[str]:
        return Counter(claimed.endpoint_id for claimed, _ in self.running)

    def end(self, endpoint_id: str, **result: Any) -> None:
        """Ends the oldest attempt for the endpoint."""
        first = next(one for one in self.running if one[0].endpoint_id == endpoint_id)
        self.running.remove(first)
        first[1](AttemptResult(started_at=NOW, duration_seconds=0.1, **result))

    def given_back(self) -> Counter[str]:
        finished = self.in_flight.ended(0)
        return Counter(one.endpoint_id for one in finished if one.result is None)


def claimed(delivery_id: str, endpoint_id: str) -> Claimed:
    url = f"http://127.0.0.1/{endpoint_id}"
    return Claimed(delivery_id, endpoint_id, "c", "evt", "message.sent", b"{}", url, [], False, NOW)


def test_of_what_was_claimed_ahead_four_run_at_once_for_an_endpoint() -> None:
    carrier = Carrier()
    carrier.claim(*["a"] * 20, *["b"] * 3)
    for _ in range(20):
        carrier.end("a", **OK)
    assert carrier.most == {"a": 4, "b": 3, "all": 7}
    assert len(carrier.in_flight) == 3


def test_no_more_run_at_once_than_the_worker_may_and_the_next_is_for_who_has_fewest() -> None:
    carrier = Carrier(most_at_once=5)
    carrier.claim(*["a"] * 20, *["b"] * 20)
    assert carrier.counts() == {"a": 4, "b": 1}
    carrier.end("a", **OK)
    assert carrier.counts() == {"a": 3, "b": 2}
    carrier.end("a", **OK)
    assert carrier.counts() == {"a": 3, "b": 2}
    carrier.end("a", **OK)
    assert carrier.counts() == {"a": 2, "b": 3}
    assert carrier.most["all"] == 5


@pytest.mark.parametrize(
    ("result", "times"), [(HANGS, 1), ({"status_code": 410}, 1), ({"status_code": 500}, 5)]
)
def test_what_waits_is_given_back_where_the_endpoint_is_to_be_left_in_peace(
    result: dict[str, Any], times: int
) -> None:
    carrier = Carrier()
    carrier.claim(*["a"] * 20, *["b"] * 6)
    for _ in range(times):
        assert carrier.given_back() == {}
        carrier.end("a", **result)
    assert carrier.given_back() == {"a": 16 - times + 1}
    assert carrier.counts() == {"a": 3, "b": 4}


def test_a_failure_now_and_then_gives_nothing_back() -> None:
    carrier = Carrier()
    carrier.claim(*["a"] * 40)
    for _ in range(8):
        carrier.end("a", status_code=500)
        carrier.end("a", **OK)
    assert carrier.given_back() == {}


def test_what_cannot_begin_in_time_is_given_back_before_its_lease_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEGIN_SECONDS", -1.0)
    carrier = Carrier()
    carrier.claim(*["a"] * 10)
    assert carrier.given_back() == {"a": 6}
    assert carrier.counts() == {"a": 4}


def test_many_attempts_that_end_where_they_begin_need_no_deep_stack() -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    in_flight = InFlight(fail, 1)
    for number in range(2000):
        in_flight.begin(claimed(str(number), "a"))
    assert len(in_flight) == 0

    def answer(_claimed: Claimed, on_result: OnResult) -> bool:
        on_result(AttemptResult(started_at=NOW, duration_seconds=0.0, status_code=200))
        return True

    carrier = Carrier(most_at_once=1)
    carrier.claim(*["a"] * 2000)
    carrier.in_flight._begin = answer
    carrier.end("a", **OK)
    assert len(carrier.in_flight) == 0
