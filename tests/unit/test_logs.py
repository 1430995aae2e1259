"""Log lines: ids, never secrets, whole numbers or content; always one line."""

import json
import logging

import pytest

from smsgw import logs


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key crm_live_" + "a1" * 32, "key crm_live_…"),
        ("op_live_" + "0" * 64 + " x", "op_live_… x"),
        ("gw_live_" + "f" * 64, "gw_live_…"),
        ("secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw==", "secret whsec_…"),
        ("Authorization: Basic cGhvbmU6c2VjcmV0", "Authorization: Basic …"),
        ("https://phone-1:secret@example.org/api/sms", "https://phone-1:…@example.org/api/sms"),
        ("to +4915112345678 now", "to +49…78 now"),
        ("/messages/4915112345678", "/messages/49…78"),
        ("msg_01a1fcb844a3710a8c45bdc1afc7e93e", "msg_01a1fcb844a3710a8c45bdc1afc7e93e"),
        ("3e105262-0708-4913-9499-123456789012", "3e105262-0708-4913-9499-123456789012"),
        ("port 18765, pid 4194304", "port 18765, pid 4194304"),
    ],
)
def test_secrets_and_numbers_are_taken_out_and_ids_stay(text: str, shown: str):
    assert logs.redact(text) == shown


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nobody_can_write_lines_of_their_own(written, log_format: str):
    stream = written(log_format)
    logging.getLogger("x").warning("GET %s", "/a\r\n2026 ERROR forged\x1b[2J")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_json_line_has_its_fields(written):
    stream = written("json")
    token = logs.request_id.set("r-1")
    logging.getLogger("x").info("hi", extra={"fields": {"device_id": "phone-1", "crm_id": None}})
    logs.request_id.reset(token)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "x",
        "message": "hi",
        "device_id": "phone-1",
        "request_id": "r-1",
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_shows_no_values_of_a_statement(written, log_format: str):
    stream = written(log_format)
    try:
        raise ValueError(
            "insert failed\nDETAIL:  Failing row contains (my secret text)\n"
            "[SQL: INSERT INTO messages (content) VALUES (?)]\n[parameters: ('my secret text',)]"
        )
    except ValueError:
        logging.getLogger("x").exception("it broke")
    assert "my secret text" not in stream.getvalue()
    assert "INSERT INTO messages" in stream.getvalue()


def test_libraries_do_not_log_statements_even_at_debug(written):
    written("text")
    for name in ("sqlalchemy.engine.Engine", "alembic"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_line_of_the_log_has_a_bounded_length_whatever_is_put_into_it(written, log_format: str):
    stream = written(log_format)
    try:
        raise ValueError("INSERT " + "?, " * 100_000 + "\n" + "a line\n" * 100_000)
    except ValueError:
        extra = {"fields": {"path": "/x" * 100_000}}
        logging.getLogger("x").exception("could not %s", "insert " * 100_000, extra=extra)
    assert len(stream.getvalue()) < 32_000
    assert "(700,010 characters)" in stream.getvalue()


def test_a_secret_or_number_at_the_cut_of_a_long_line_is_left_out_whole(written):
    stream = written("text")
    for filler in range(logs.MOST_CHARACTERS - 60, logs.MOST_CHARACTERS + 1):
        text = "x " * (filler // 2) + " " * (filler % 2)
        logging.getLogger("x").warning("%s", f"{text}to +4915112345678 http://u:secret@h/ {text}")
    assert "15112" not in stream.getvalue()
    assert "secr" not in stream.getvalue()
