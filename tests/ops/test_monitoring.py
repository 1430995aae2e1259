"""deploy/prometheus and deploy/grafana against Prometheus' own tool and against what /metrics shows."""

import json
import platform
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from smsgw import __version__, clock, metrics
from smsgw.core.operations import housekeeping
from tests.conftest import NOW, World, missing
from tests.running import ROOT

ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
CASES = ALERTS.with_name("alerts.test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "smsgw.json"
OF_PROMETHEUS = {"up"}


def _panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def _expressions(path: Path) -> list[str]:
    if path == ALERTS:
        return [rule["expr"] for rule in _rules()]
    return [target["expr"] for panel in _panels() for target in panel["targets"]]


def _shown(world: World) -> str:
    world.app.extensions["smsgw"].settings = replace(world.settings, metrics_public=True)
    answer = world.client.get("/metrics")
    assert answer.status_code == 200
    return answer.text


def _promtool(*arguments: str) -> None:
    found = shutil.which("promtool") or missing("promtool (the package prometheus) is missing")
    ran = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_takes_the_alerts():
    _promtool("check", "rules", str(ALERTS))


def test_each_alert_fires_when_it_should_and_none_when_all_is_well():
    _promtool("test", "rules", str(CASES))
    tried = set(re.findall(r'alertname="(\w+)"', CASES.read_text()))
    assert tried == {rule["alert"] for rule in _rules()}


@pytest.mark.parametrize("path", [ALERTS, DASHBOARD], ids=lambda path: path.name)
def test_each_metric_that_is_asked_for_is_shown(world: World, path: Path):
    world.client.get("/api/sms", headers=world.as_device())
    shown = set(re.findall(r"^# TYPE (\S+) ", _shown(world), re.MULTILINE))
    shown |= {f"{name}_bucket" for name in shown}
    asked = {
        name
        for expression in _expressions(path)
        for name in re.findall(r"\bup\b|\bsmsgw_\w+", expression)
    }
    assert asked - OF_PROMETHEUS <= shown


def test_the_dashboard_shows_each_metric(world: World):
    kinds = dict(re.findall(r"^# TYPE (smsgw_\S+) (\w+)$", _shown(world), re.MULTILINE))
    asked = " ".join(_expressions(DASHBOARD))
    assert not [
        name for name in kinds if not name.endswith("_created") and not re.search(name, asked)
    ]


def test_metrics_name_the_versions_and_each_check(world: World):
    with world.database.transaction() as session:
        housekeeping.note_heartbeat(session, "host:1", clock.now())
    text = _shown(world)
    versions = f'python="{platform.python_version()}",version="{__version__}"'
    assert f"smsgw_build_info{{{versions}}} 1.0" in text
    for check in ("disk", "database", "migrations", "worker"):
        assert f'smsgw_ready{{check="{check}"}} 1.0' in text


def test_a_check_that_fails_is_0(world: World):
    assert 'smsgw_ready{check="worker"} 0.0' in _shown(world)


def test_webhook_requests_are_shown_whichever_machine_their_worker_runs_on(world: World):
    with world.database.transaction() as session:
        now = clock.now()
        housekeeping.note_heartbeat(session, "a:1", now, {"2xx": 3, "timeout": 1})
        housekeeping.note_heartbeat(session, "b:7", now, {"2xx": 2})
        housekeeping.note_heartbeat(session, "a:1", now, {"2xx": 4, "timeout": 1})
    text = _shown(world)
    for labels, count in (
        ('outcome="2xx",worker="a:1"', 4),
        ('outcome="timeout",worker="a:1"', 1),
        ('outcome="2xx",worker="b:7"', 2),
    ):
        assert f"smsgw_webhook_attempts_total{{{labels}}} {count}.0" in text


def test_a_worker_counts_each_request_by_its_outcome():
    before = metrics.attempt_counts()
    for outcome in ("2xx", "2xx", "5xx"):
        metrics.count_attempt(outcome)
    after = metrics.attempt_counts()
    added = {outcome: after[outcome] - before.get(outcome, 0) for outcome in ("2xx", "5xx")}
    assert added == {"2xx": 2, "5xx": 1}


def test_a_worker_that_has_counted_nothing_is_a_heartbeat_all_the_same(world: World):
    with world.database.transaction() as session:
        housekeeping.note_heartbeat(session, "a:1", NOW)
    assert "smsgw_webhook_attempts_total{" not in _shown(world)
