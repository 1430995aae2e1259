"""When a failed webhook is tried again."""

from datetime import timedelta

import pytest

from smsgw.core.webhooks.retries import AttemptResult, delay_seconds, pause
from smsgw.settings import RETRY_SCHEDULE
from tests.conftest import NOW


def failure(**what):
    return AttemptResult(started_at=NOW, duration_seconds=0.1, **(what or {"status_code": 500}))


def test_the_twelve_attempts_lie_at_these_moments():
    moments = [0.0]
    while (delay := delay_seconds(RETRY_SCHEDULE, len(moments), failure(), 0.5)) is not None:
        moments.append(moments[-1] + delay)
    assert [str(timedelta(seconds=moment)) for moment in moments] == [
        "0:00:00",
        "0:00:05",
        "0:00:35",
        "0:02:35",
        "0:12:35",
        "0:42:35",
        "2:42:35",
        "7:42:35",
        "17:42:35",
        "1 day, 7:42:35",
        "2 days, 3:42:35",
        "3 days, 3:42:35",
    ]


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 96), (0.5, 120), (1.0, 144)])
def test_the_jitter_is_a_fifth_both_ways(chance, expected):
    assert delay_seconds(RETRY_SCHEDULE, 3, failure(), chance) == pytest.approx(expected)


@pytest.mark.parametrize(
    "what",
    [{"status_code": 429}, {"status_code": 502}, {"status_code": 504}, {"error": "timeout"}],
)
def test_an_overloaded_or_hanging_receiver_gets_a_minute(what):
    assert delay_seconds(RETRY_SCHEDULE, 1, failure(**what), 0.0) == 60
    assert delay_seconds(RETRY_SCHEDULE, 4, failure(**what), 0.5) == 600


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, 120), (0, 120), (60, 120), (200, 200), (100_000, 240)]
)
def test_retry_after_counts_between_the_delay_and_twice_the_delay(asked, expected):
    result = failure(status_code=503, retry_after_seconds=asked)
    assert delay_seconds(RETRY_SCHEDULE, 3, result, 0.5) == expected


def test_after_the_last_step_there_is_no_retry():
    assert delay_seconds((0, 5), 1, failure(), 0.5) == 5
    assert delay_seconds((0, 5), 2, failure(), 0.5) is None


def test_the_pause_begins_with_the_fifth_failure_and_grows_to_ten_minutes():
    pauses = [pause(failures) for failures in range(4, 12)]
    seconds = [None if length is None else length.total_seconds() for length in pauses]
    assert seconds == [None, 30, 60, 120, 240, 480, 600, 600]
    assert pause(10_000).total_seconds() == 600


@pytest.mark.parametrize(("status", "is_success"), [(199, False), (200, True), (299, True)])
def test_success_is_2xx(status, is_success):
    assert failure(status_code=status).is_success is is_success


def test_success_needs_an_answer():
    assert not failure(error="dns").is_success
