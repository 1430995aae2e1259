"""What each page costs on both databases."""

import pytest

from .cheap import check_cheap
from .conftest import Office


@pytest.mark.parametrize("path", ["/admin/people", "/admin/person?name=clerk", "/admin/me"])
def test_a_page_needs_a_few_statements_and_scans_no_table_that_grows(office: Office, path):
    check_cheap(office, path)
