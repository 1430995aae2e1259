"""The life of a dispatch as a table, and telling a repeat from news."""

from hypothesis import given
from hypothesis import strategies as st

from smsgw.sms import statuses

WORDS = ("UNSENT", "PENDING", "SENT", "DELIVERED", "FAILED")
words = st.lists(st.sampled_from(WORDS), max_size=12)
ON_A_PHONE = tuple(statuses.MOVES)


def test_delivered_is_the_end():
    assert not any(statuses.may_follow("delivered", other, None) for other in ON_A_PHONE)


def test_nothing_goes_back_to_dispatched():
    assert not any(statuses.may_follow(status, "dispatched", None) for status in ON_A_PHONE)


def test_sent_accepts_only_delivered_and_a_negative_delivery_report():
    allowed = [other for other in ON_A_PHONE if statuses.may_follow("sent", other, "no-service")]
    assert allowed == ["delivered"]
    assert statuses.may_follow("sent", "failed", "Delivery failed: Congestion")


def test_overtaking_only_goes_forward():
    for current in ON_A_PHONE:
        for reported in ON_A_PHONE:
            both = (current, reported), (reported, current)
            assert not all(statuses.may_overtake(*pair) for pair in both)
            assert not statuses.may_overtake(current, current)


def test_of_sent_and_failed_sent_speaks():
    assert statuses.furthest(["failed", "sent"]) == "sent"
    assert statuses.furthest(["sent", "failed"]) == "sent"
    assert statuses.furthest(["sending", "failed", "accepted"]) == "failed"


@given(words)
def test_a_whole_repeat_has_no_news(said):
    assert statuses.without_repeat(said, said) == []


@given(words, words)
def test_the_end_said_again_and_something_new_gives_the_new_or_less(said, new):
    for start in range(len(said) + 1):
        news = statuses.without_repeat(said, said[start:] + new)
        assert news == new[len(new) - len(news) :]


@given(words)
def test_to_a_stranger_everything_is_news(said):
    assert statuses.without_repeat([], said) == said
