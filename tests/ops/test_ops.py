"""Live, ready, metrics."""

import base64
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsgw import clock
from smsgw.core.accounts import crms
from smsgw.core.devices import registry
from smsgw.core.messages import queueing
from smsgw.core.messages.drafts import Draft
from smsgw.core.operations import housekeeping
from smsgw.core.operations.health import WORKER_IS_GONE_AFTER_SECONDS
from smsgw.settings import Settings
from smsgw.store import migrations
from smsgw.store.db import Database
from smsgw.store.models import DeviceSilence, WorkerHeartbeat
from tests.conftest import NOW, World, application
from tests.running import ROOT, Server, environment, free_port, serving, until

KEY = "op_live_" + "5" * 64


def test_it_is_alive_whatever_the_database_does(world: World):
    world.database.close()
    assert world.client.get("/healthz").json == {"status": "ok"}


def test_it_is_ready_while_a_worker_writes_heartbeats(world: World):
    assert world.client.get("/readyz").status_code == 503
    _heartbeat(world, seconds_ago=0)
    answer = world.client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {
        "ready": True,
        "checks": {"disk": "ok", "database": "ok", "migrations": "ok", "worker": "ok"},
    }


def test_it_is_not_ready_when_the_worker_has_fallen_silent(world: World):
    _heartbeat(world, seconds_ago=WORKER_IS_GONE_AFTER_SECONDS + 5)
    answer = world.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["worker"] == "wrong"


def test_it_is_not_ready_with_tables_of_another_version(world: World):
    _heartbeat(world, seconds_ago=0)
    with world.database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    answer = world.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["migrations"] == "wrong"


def test_it_is_not_ready_without_a_database_and_says_no_secret(settings: Settings):
    with application(replace(settings, database_url="postgresql://me:hidden@127.0.0.1:1/x")) as app:
        answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["database"] == "wrong"
    assert "hidden" not in answer.text


def test_metrics_are_for_operators(world: World):
    assert world.client.get("/metrics").status_code == 401
    assert world.client.get("/metrics", headers=world.as_crm()).status_code == 401
    with application(replace(world.settings, operator_key=KEY)) as app:
        answer = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")


def test_metrics_tell_queues_devices_deliveries_and_the_worker(world: World):
    with world.database.transaction() as session:
        crm = crms.get(session, "clinic")
        drafts = [
            Draft(to="+12025550123", content="x", device_id="phone-1"),
            Draft(to="+12025550123", content="x"),
            Draft(to="+12025550123", content="x"),
        ]
        queueing.queue_all(
            session, crm, world.settings, drafts, clock.now() - timedelta(seconds=90)
        )
        session.add(
            DeviceSilence(device_id="phone-1", reason="not_receiving", since=NOW, announced_at=NOW)
        )
    _heartbeat(world, seconds_ago=7)
    text = _metrics(world)
    assert _value(text, 'smsgw_messages{direction="outbound",status="queued"}') == 3
    assert _value(text, 'smsgw_queue_length{lane="d:phone-1"}') == 1
    assert _value(text, f'smsgw_queue_length{{lane="c:{world.crm_id}"}}') == 2
    assert _value(text, 'smsgw_queue_oldest_seconds{lane="d:phone-1"}') >= 90
    assert _value(text, 'smsgw_device_in_flight{device_id="phone-1"}') == 0
    assert 'smsgw_device_silent_seconds{device_id="phone-1"} NaN' in text
    for reason, value in (("not_sending", 0), ("not_receiving", 1), ("no_delivery_reports", 0)):
        name = f'smsgw_device_silent{{device_id="phone-1",reason="{reason}"}}'
        assert _value(text, name) == value
    assert _value(text, "smsgw_worker_silent_seconds") >= 7
    for name in (
        "smsgw_stuck_messages",
        "smsgw_deliveries_pending",
        "smsgw_deliveries_overdue",
        "smsgw_quarantined_items",
        "smsgw_webhooks_disabled",
        'smsgw_device_unknown_reports{device_id="phone-1"}',
    ):
        assert _value(text, name) == 0


def test_a_disabled_phone_is_not_missed_and_what_it_has_in_hand_still_counts(world: World):
    world.client.post("/api/sms", headers=world.as_device(), json={"messages": []})
    with world.database.transaction() as session:
        registry.get(session, "phone-1").enabled = False
    text = _metrics(world)
    for name in ("silent_seconds", "silent", "paused_seconds"):
        assert f"smsgw_device_{name}{{" not in text
    assert _value(text, 'smsgw_device_in_flight{device_id="phone-1"}') == 0


def test_metrics_show_what_no_one_could_read_and_reports_about_strangers(world: World):
    world.client.post(
        "/api/sms",
        headers=world.as_device(),
        json={"messages": [{"id": 5}], "updates": [{"id": "stranger", "status": "SENT"}]},
    )
    text = _metrics(world)
    assert _value(text, "smsgw_quarantined_items") == 1
    assert _value(text, 'smsgw_device_unknown_reports{device_id="phone-1"}') == 1


def test_latencies_are_by_endpoint_and_never_by_path(world: World):
    for number in range(3):
        world.client.get(f"/api/v1/nothing-{number}")
    text = _metrics(world)
    assert "nothing-" not in text
    assert _value(text, 'smsgw_requests_total{endpoint="none",status="404"}') >= 3


def test_counts_are_right_across_processes(tmp_path: Path):
    with serving(
        tmp_path, f"sqlite:///{tmp_path}/smsgw.db", SMSGW_METRICS_PUBLIC="true", SMSGW_WORKERS="2"
    ) as server:
        wrong = {"Authorization": f"Basic {base64.b64encode(b'no:one').decode()}"}
        for _ in range(40):
            assert server.request("GET", "/api/sms", headers=wrong)[0] == 401

        def counted() -> float:
            text = server.request("GET", "/metrics")[2].decode()
            return _value(text, 'smsgw_polls_total{door="cht",result="refused"}')

        assert counted() == 40
        until(lambda: server.log.count("Booting worker") == 2, "both processes")
        assert {counted() for _ in range(10)} == {40}


def _heartbeat(world: World, seconds_ago: float) -> None:
    with world.database.transaction() as session:
        session.execute(sa.delete(WorkerHeartbeat))
        housekeeping.note_heartbeat(session, "host:1", clock.now() - timedelta(seconds=seconds_ago))


def _metrics(world: World) -> str:
    world.app.extensions["smsgw"].settings = replace(world.settings, metrics_public=True)
    answer = world.client.get("/metrics")
    assert answer.status_code == 200
    return answer.text


def _value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name} in {text}"
    return float(found[1])


def test_one_process_of_several_names_what_it_lacks_and_shows_no_share_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    several = {"wsgi.multiprocess": True}
    with application(replace(settings, metrics_public=True)) as app:
        text = app.test_client().get("/metrics", environ_overrides=several).text
        of_one = app.test_client().get("/metrics").text
    assert [line for line in text.splitlines() if "PROMETHEUS_MULTIPROC_DIR" in line] == [
        text.splitlines()[0]
    ]
    assert "smsgw_requests" not in text
    assert "smsgw_stuck_messages 0.0" in text
    assert "smsgw_requests_total" in of_one
    app.extensions["smsgw"].database.close()


def test_any_wsgi_server_counts_across_processes_and_says_why_it_cannot_start(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'smsgw.db'}")
    migrations.upgrade(database)
    database.close()
    port = free_port()
    options = f"-w 2 -k gthread -b 127.0.0.1:{port} --no-control-socket"
    command = [sys.executable, "-m", "gunicorn", *options.split(), "wsgi:app"]
    settings = environment(
        SMSGW_DATABASE_URL=f"sqlite:///{tmp_path / 'smsgw.db'}",
        SMSGW_METRICS_PUBLIC="true",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"),
    )
    process = subprocess.Popen(command, cwd=ROOT, env=settings, stderr=subprocess.DEVNULL)
    server = Server(process, port, tmp_path / "log")
    try:
        until(lambda: _counted(server) > 20, "requests of both processes to be added up")
        assert "left out" not in server.request("GET", "/metrics")[2].decode()
    finally:
        server.stop()
    # Where two workers fail at once, gunicorn itself prints a traceback.
    refused = subprocess.run(
        [*command, "-w", "1"],
        cwd=ROOT,
        env=environment(SMSGW_DATABASE_URL="postgresql://u:secret@a:x/x"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode != 0
    assert "error: SMSGW_DATABASE_URL: a port is no number" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "secret" not in refused.stderr


def _counted(server: Server) -> float:
    """How many requests /metrics knows of, after one more; 0 while nobody listens."""
    try:
        text = server.request("GET", "/metrics")[2].decode()
    except OSError:
        return 0
    return sum(float(count) for count in re.findall(r"smsgw_requests_total\{.*?\} (\S+)", text))
