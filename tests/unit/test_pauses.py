"""When a phone is paused after failures, for how long, and what ends it."""

from datetime import timedelta

import pytest

from smsgw.core.devices import pauses
from smsgw.core.devices.pauses import FIRST_PAUSE, LONGEST_PAUSE, Outcome, Pause
from tests.conftest import NOW

LIMIT, GENERIC = "unknown; resultCode=5", "generic; errorCode=38"


def after(pause, *outcomes, at=NOW):
    """The pause after outcomes of messages that were handed out just now."""
    for outcome in outcomes:
        status, reason = (
            ("failed", outcome) if outcome not in ("sent", "delivered") else (outcome, None)
        )
        pause = pauses.after(pause, Outcome(status, reason, at), at)
    return pause


@pytest.mark.parametrize(
    "reason",
    [
        LIMIT,
        "RESULT_ERROR_LIMIT_EXCEEDED",
        "Insufficient credit",
        "insufficient balance",
        "no credit",
        "Out of credit on this SIM",
    ],
)
def test_one_failure_for_a_limit_begins_a_pause(reason):
    pause = after(Pause(), reason)
    assert (pause.paused_until, pause.pause_reason) == (NOW + FIRST_PAUSE, reason)
    assert pauses.is_paused(pause.paused_until, NOW)


@pytest.mark.parametrize(
    "reason",
    [GENERIC, "generic; no errorCode supplied", "Generic failure", "RESULT_ERROR_GENERIC_FAILURE"],
)
def test_five_failures_in_a_row_without_a_reason_begin_a_pause(reason):
    assert after(Pause(), *[reason] * 4).pause_count == 0
    assert after(Pause(), *[reason] * 5).pause_count == 1
    assert after(Pause(), *[reason] * 4, "sent", *[reason] * 4).pause_count == 0


@pytest.mark.parametrize(
    "reason",
    ["destination.invalid", "no-service", "Delivery failed: SME busy", "unknown; resultCode=7", ""],
)
def test_failures_for_another_reason_begin_no_pause_and_end_none(reason):
    assert after(Pause(), *[reason] * 50) == Pause()
    paused = after(Pause(), LIMIT)
    assert after(paused, reason, at=NOW + timedelta(hours=1)) == paused


def test_each_try_that_fails_begins_a_longer_pause_up_to_two_hours():
    pause, now, lengths = Pause(), NOW, []
    for _ in range(9):
        pause = after(pause, LIMIT, at=now)
        lengths.append(pause.paused_until - now)
        now = pause.paused_until
    assert [length / FIRST_PAUSE for length in lengths] == [1, 2, 4, 8, 16, 24, 24, 24, 24]
    assert lengths[-1] == LONGEST_PAUSE


def test_what_was_handed_out_before_the_pause_makes_it_no_longer_and_does_not_end_it():
    paused = after(Pause(), LIMIT)
    later = NOW + timedelta(hours=1)
    for outcome in (Outcome("failed", LIMIT, NOW), Outcome("sent", None, NOW)):
        assert pauses.after(paused, outcome, later).paused_until == paused.paused_until


@pytest.mark.parametrize("status", ["sent", "delivered"])
def test_a_try_that_is_sent_ends_the_pause(status):
    assert after(after(Pause(), LIMIT), status, at=NOW + FIRST_PAUSE) == Pause()


def test_a_pause_that_lies_far_ahead_was_written_before_the_clock_was_set_back():
    pause = after(Pause(), LIMIT)
    assert not pauses.is_paused(pause.paused_until, NOW - timedelta(days=1))
