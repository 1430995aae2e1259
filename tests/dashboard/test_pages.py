"""What each page costs on both databases."""

import html

import pytest

from .cheap import check_cheap
from .conftest import Office


@pytest.mark.parametrize(
    "path",
    [
        "/admin/people",
        "/admin/person?name=clerk",
        "/admin/me",
        "/admin/log",
        "/admin/log?actor=olga&action=device",
        "/admin/log/quarantine",
        "/admin/start",
        "/admin/start/news",
    ],
)
def test_a_page_needs_a_few_statements_and_scans_no_table_that_grows(office: Office, path):
    check_cheap(office, path)


@pytest.mark.parametrize("path", ["/admin/overview", "/admin/overview/news"])
def test_the_overview_needs_no_more_statements_with_many_phones(office: Office, path):
    for number in range(20):
        office.world.add_device(f"many-{number}")
    check_cheap(office, path)


def test_a_page_that_has_seen_all_asks_for_the_session_and_for_one_more_row(office: Office):
    page = office.browser("operator").get("/admin/overview")
    url = html.unescape(page.text.partition('hx-get="')[2].partition('"')[0])
    assert check_cheap(office, url, most=2).status_code == 204
