"""What docs/recipes.md has people configure, as the programs send it.

Apprise and liquidjs are real; the requests of the others are built from the page as their sources build them."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import apprise
import jinja2
import pytest
import requests
import yaml

from ..live import node
from ..running import ROOT
from .conftest import Served

PAGE = (ROOT / "docs" / "recipes.md").read_text()
# The text of an alarm at its worst.
TEXT = 'Web is "down": größer\n{"a": 1}'
RENDER = """
const {Liquid} = require("liquidjs")
const [template, msg] = process.argv.slice(1)
new Liquid().parseAndRender(template, {msg}).then(text => process.stdout.write(text))
"""


class Recipe:
    """The blocks of one section of the page, with the running server's address and key in them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.url = f"{served.environment['SERVER']}/api/v1/messages"

    def blocks(self, heading: str) -> list[str]:
        (section,) = re.findall(rf"^{heading}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
        host = self._served.environment["SERVER"].removeprefix("http://")
        here = section.replace("https://sms.example.org", f"http://{host}")
        here = here.replace("jsons://sms.example.org", f"json://{host}")
        here = here.replace("crm_live_...", self._served.environment["KEY"])
        return re.findall(r"^```\w*\n(.*?)^```$", here, re.M | re.S) or [here]

    def sent(self) -> dict[str, Any]:
        """The newest message of the CRM."""
        headers = {"Authorization": f"Bearer {self._served.environment['KEY']}"}
        listed = requests.get(self.url, headers=headers, timeout=30).json()
        found: dict[str, Any] = listed["data"][0]
        return found

    def post(self, headers: dict[str, str], data: str) -> requests.Response:
        return requests.post(self.url, headers=headers, data=data.encode(), timeout=30)


@pytest.fixture
def recipe(served: Served) -> Recipe:
    return Recipe(served)


@pytest.fixture(scope="module")
def liquid(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], str]:
    """Fills in a template as Uptime Kuma does."""
    folder = tmp_path_factory.mktemp("liquid")
    node.install(Path(__file__).parent / "liquid", folder)
    programs = node.find()
    assert programs is not None

    def render(template: str, msg: str) -> str:
        command = [*programs.node, "-e", RENDER, template, msg]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    return render


def test_the_call_of_all_recipes_works(recipe: Recipe):
    (command,) = recipe.blocks("# Recipes")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["status"] == "queued"


def test_apprise_sends_by_the_url_of_its_recipe(recipe: Recipe):
    (command,) = recipe.blocks("## Apprise")
    _, _, text, url = shlex.split(command)
    services = apprise.Apprise()
    assert services.add(url)
    assert services.notify(body=TEXT, title="A title")
    assert (recipe.sent()["to"], recipe.sent()["content"]) == ("+12025550123", TEXT)
    assert services.notify(body=text)
    assert recipe.sent()["content"] == text


def test_uptime_kuma_sends_what_its_template_makes(
    recipe: Recipe, liquid: Callable[[str, str], str]
):
    body, headers = recipe.blocks("## Uptime Kuma")
    answer = recipe.post(json.loads(headers), liquid(body, TEXT))
    assert answer.status_code == 202, answer.text
    assert recipe.sent()["content"] == TEXT


@pytest.mark.parametrize("summary", [TEXT, "Disk: full", "", "- a", "12", "null", "a #b"])
def test_alertmanager_sends_text_whatever_the_summary_says(recipe: Recipe, summary: str):
    (block,) = recipe.blocks("## Alertmanager")
    (hook,) = yaml.safe_load(block)["receivers"][0]["webhook_configs"]
    alert = {
        ".Status | toUpper": "FIRING",
        ".CommonLabels.alertname": "InstanceDown",
        "len .Alerts": "2",
        ".CommonAnnotations.summary": summary,
    }
    payload = {name: _as_yaml(_filled(value, alert)) for name, value in hook["payload"].items()}
    key = hook["http_config"]["authorization"]["credentials"]
    answer = recipe.post({"Authorization": f"Bearer {key}"}, json.dumps(payload))
    assert answer.status_code == 202, answer.text
    assert recipe.sent()["to"] == "+12025550123"
    assert recipe.sent()["content"] == f"[FIRING] Alert InstanceDown (2): {summary}"


def _filled(template: str, values: dict[str, str]) -> str:
    return re.sub(r"\{\{ (.*?) \}\}", lambda found: values[found[1]], template)


def _as_yaml(text: str) -> Any:
    """The value as Alertmanager reads it once more; texts stay as they were written."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return text if isinstance(value, str) else value


def test_home_assistant_sends_by_the_rest_command(recipe: Recipe):
    (block, *_) = recipe.blocks("## Home Assistant")
    command = yaml.safe_load(block)["rest_command"]["send_sms"]
    templates = jinja2.Environment()
    templates.filters["to_json"] = json.dumps
    data = {"to": "+12025550123", "message": TEXT}
    body = templates.from_string(command["payload"]).render(data)
    headers = {**command["headers"], "content-type": command["content_type"]}
    answer = requests.request(command["method"], command["url"], headers=headers, data=body)
    assert answer.status_code == 202, answer.text


def test_erpnext_sends_by_its_sms_settings(recipe: Recipe):
    (section,) = recipe.blocks("## ERPNext")
    headers = dict(re.findall(r"^\| `(.*?)` \| `(.*?)` \| ticked \|$", section, re.M))
    assert headers["Content-Type"] == "application/json"
    url, content, to = re.findall(r"`(http.*?|content|to)`", section)
    headers["Accept"] = "text/plain, text/html, */*"
    answer = requests.post(url, json={content: TEXT, to: "+12025550123"}, headers=headers)
    assert answer.status_code == 202, answer.text


def test_traccar_sends_by_its_template(recipe: Recipe):
    (block,) = recipe.blocks("## Traccar")
    entries = {entry.get("key"): entry.text or "" for entry in ElementTree.fromstring(block)}
    body = entries["sms.http.template"].strip().replace("{phone}", "+12025550123")
    body = body.replace("{message}", json.dumps(TEXT)[1:-1])
    headers = {"Authorization": entries["sms.http.authorization"]}
    answer = recipe.post({**headers, "Content-Type": "application/json;charset=UTF-8"}, body)
    assert (answer.status_code, answer.url) == (202, entries["sms.http.url"]), answer.text
