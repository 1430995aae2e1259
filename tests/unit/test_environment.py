"""Typed values from environment variables."""

import pytest

from smsgw.environment import Env, EnvError


@pytest.fixture
def env() -> Env:
    return Env("T_")


def test_a_variable_that_is_not_set_has_its_default(env: Env):
    assert env.text("X", "a") == "a"
    assert env.texts("X") == []
    assert env.flag("X", True) is True
    assert env.whole("X", 5, least=1) == 5
    assert env.number("X", 0.5, least=0.1, most=60) == 0.5


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("YES", True), ("on", True), ("0", False), ("False", False)]
)
def test_a_flag_is_set_with_any_usual_word(env: Env, monkeypatch, text: str, value: bool):
    monkeypatch.setenv("T_X", text)
    assert env.flag("X", not value) is value


def test_numbers_may_stand_between_blanks(env: Env, monkeypatch):
    monkeypatch.setenv("T_X", " 5 ")
    assert env.whole("X", 1, least=1) == 5
    assert env.number("X", 1.0, least=1, most=9) == 5.0


@pytest.mark.parametrize("text", ["", "abc", "1.5", "-1", "0", "10", "1e3", "inf", "nan"])
def test_what_is_no_number_in_the_range_is_refused_by_name_without_its_value(
    env: Env, monkeypatch, text: str
):
    monkeypatch.setenv("T_X", text)
    with pytest.raises(EnvError) as refused:
        env.whole("X", 1, least=1, most=9)
    assert str(refused.value) == "T_X must be a whole number, at least 1 and at most 9"


@pytest.mark.parametrize("text", ["", "abc", "-1", "inf", "nan", "60.5"])
def test_so_is_what_is_no_fraction_in_the_range(env: Env, monkeypatch, text: str):
    monkeypatch.setenv("T_X", text)
    with pytest.raises(EnvError, match=r"^T_X must be a number, at least 0.1 and at most 60$"):
        env.number("X", 1.0, least=0.1, most=60)


def test_so_are_other_words(env: Env, monkeypatch):
    monkeypatch.setenv("T_X", "maybe")
    with pytest.raises(EnvError, match=r"^T_X must be true or false$"):
        env.flag("X", False)
    with pytest.raises(EnvError, match=r"^T_X must be text or json$"):
        env.text("X", "text", one_of=("text", "json"))
