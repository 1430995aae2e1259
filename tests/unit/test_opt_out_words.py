"""Which texts stop and restart messages: the whole text is the word, however it is written."""

import pytest

from smsgw.sms import text_hashes
from smsgw.sms.opt_out_words import (
    DEFAULT_START_WORDS,
    DEFAULT_STOP_WORDS,
    folded,
    is_one_of,
)


def stops(text: str, words: list[str] | None = None) -> bool:
    return is_one_of(text, words, DEFAULT_STOP_WORDS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "STOP",
            "stop",
            " Stop\r\n",
            "STOP.",
            '"stop"',
            "Stop!!",
            "ＳＴＯＰ",
            "ST\u200bOP",
            "Stop All",
        ),
        *(
            "STOPP",
            "Arrêt",
            "ARRET",
            "baja",
            "parar",
            "İptal",
            "iptal",
            "стоп",
            "στοπ",
            "退订",
            "توقف",
        ),
    ],
)
def test_a_stop_word_is_known_in_any_case_width_accent_and_punctuation(text: str):
    assert stops(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "STOP it", "please stop", "STOPS", "bus stop", "S T O P", "1", "STOP" * 100],
)
def test_a_text_that_is_more_than_the_word_does_not_stop_anything(text: str):
    assert not stops(text)


def test_a_crms_own_words_replace_the_defaults_and_an_empty_list_is_none():
    assert stops("genug", ["Genug"])
    assert not stops("STOP", ["Genug"])
    assert not stops("STOP", [])


def test_no_default_word_both_stops_and_starts():
    stop, start = set(map(folded, DEFAULT_STOP_WORDS)), set(map(folded, DEFAULT_START_WORDS))
    assert "" not in stop | start
    assert not stop & start


def test_the_hash_of_a_text_lies_among_those_of_its_number_in_either_spelling():
    first, last = text_hashes.of_number("crm_1", "+12025550123")
    for number in ("+12025550123", "12025550123"):
        assert first <= text_hashes.of_text("crm_1", number, "hello") <= last
    assert text_hashes.of_text("crm_1", "+12025550123", "hello") != text_hashes.of_text(
        "crm_1", "+12025550123", "hello "
    )
    assert not first <= text_hashes.of_text("crm_2", "+12025550123", "hello") <= last
    assert 0 <= first <= last < 1 << 63
