"""From a new server to the first SMS that is delivered, in the browser alone, with `demo/phone.py` as the phone."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..running import PATIENCE_SECONDS, ROOT, Server, environment, serving
from .looking import look_at


@pytest.fixture(scope="module")
def new_server(tmp_path_factory) -> Iterator[Server]:
    """A server as `make run` leaves it: the URL of its first phone is in the terminal alone."""
    folder = tmp_path_factory.mktemp("new")
    database_url = f"sqlite:///{folder}/smsgw.db"
    printed = subprocess.run(
        [sys.executable, "-m", "smsgw", "init"],
        cwd=ROOT,
        env=environment(SMSGW_DATABASE_URL=database_url),
        capture_output=True,
        text=True,
        check=True,
    )
    with serving(folder, database_url, SMSGW_WORKERS="1", SMSGW_THREADS="4") as server:
        server.key = re.search(r"op_live_\w+", printed.stdout)[0]
        yield server


@contextmanager
def simulated_phone(url: str, folder: Path) -> Iterator[None]:
    """`demo/phone.py` with this URL, ended afterwards."""
    with (folder / "phone.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "demo/phone.py", url, "--interval", "0.5", "--speed", "20"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def test_the_first_sms_of_a_new_server_is_delivered_with_nothing_but_the_browser(
    new_server, page, axe, tmp_path
):
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    page.goto(f"{new_server.url}/admin")
    page.get_by_label("Your key").fill(new_server.key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="First steps").wait_for()
    look_at(page, "first-sms-new", axe)
    page.get_by_text("such as phone-2").wait_for()
    page.get_by_label("Name of the phone").fill("phone-2")
    page.get_by_role("button", name="Add and show its URL").click()
    url = page.locator(".secret pre").inner_text()
    page.get_by_label("Name of the program").fill("till")
    with simulated_phone(url, tmp_path):
        page.locator("#step-polled.done").wait_for()
        # News of the steps leave alone what is typed into their forms.
        assert page.get_by_label("Name of the program").input_value() == "till"
        page.get_by_label("To", exact=True).fill("+12025550123")
        page.get_by_role("button", name="Send the test").click()
        page.get_by_text("The test is queued.").wait_for()
        page.locator("#step-arrived.done").wait_for()
    page.get_by_label("Name of the program").fill("till")
    page.get_by_role("button", name="Add and show its key").click()
    command = page.locator(".secret pre").nth(1).inner_text()
    done = subprocess.run([*shlex.split(command), "-s"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["status"] == "queued"
    assert page.locator(".step.done").count() == 5
