"""What a proxy says of the caller counts only where proxies are trusted."""

from dataclasses import replace

import pytest
from flask import request
from werkzeug.test import Client

from smsgw.settings import Settings
from tests.conftest import application

FORWARDED = {
    "X-Forwarded-For": "198.51.100.1, 203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "sms.example.org",
}


CALLER = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("trusted_proxies", "seen"),
    [
        (0, "127.0.0.1 http://localhost/who"),
        (1, "203.0.113.9 https://sms.example.org/who"),
        (2, "198.51.100.1 http://localhost/who"),
    ],
)
def test_forwarded_addresses_count_as_far_as_proxies_are_trusted(
    settings: Settings, trusted_proxies: int, seen: str
):
    with application(replace(settings, trusted_proxies=trusted_proxies)) as app:
        app.add_url_rule("/who", view_func=lambda: f"{request.remote_addr} {request.base_url}")
        assert Client(app).get("/who", headers=FORWARDED, environ_base=CALLER).text == seen
