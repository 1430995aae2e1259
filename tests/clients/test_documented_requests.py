"""Each `curl` command of the pages, as it stands but for the server's address and the keys."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from ..running import ROOT
from .conftest import OPERATOR_KEY, Served

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CURL = re.compile(r"^curl (?:[^\n]*\\\n)*[^\n]*", re.M)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if CURL.search(page.read_text())], ids=lambda page: page.stem
)
def test_each_curl_command_of_the_pages_succeeds(served: Served, page: Path):
    server, key = served.environment["SERVER"], served.environment["KEY"]
    keys = {"KEY": key, "API_KEY": key, "OPERATOR_KEY": OPERATOR_KEY, "API": f"{server}/api/v1"}
    body = json.dumps({"name": "my-program"})
    new = f"curl -s $API/crms -H 'Authorization: Bearer {OPERATOR_KEY}' -d '{body}'"
    _run(new, keys)
    for command in CURL.findall(page.read_text()):
        here = command.replace("https://sms.example.org", server).replace("crm_live_...", key)
        here = here.replace("https://crm.example.org/", "https://8.8.8.8/")
        answer = json.loads(
            _run(here.replace("https://crm.example.com/", "https://8.8.8.8/"), keys)
        )
        assert "error" not in answer, (command, answer)


def _run(command: str, more: dict[str, str]) -> str:
    env = {**os.environ, **more}
    done = subprocess.run(
        ["sh", "-c", command], env=env, capture_output=True, text=True, timeout=60
    )
    return done.stdout
