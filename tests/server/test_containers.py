"""deploy/Dockerfile and deploy/compose.yaml without Docker: what they must say, and the proxy's file by Caddy."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from smsgw import settings
from tests.conftest import missing
from tests.running import ROOT, environment

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
OURS = ("server", "worker")


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_the_image_runs_as_a_user_with_a_fixed_id():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "--uid 10001" in DOCKERFILE


def test_the_image_has_the_packages_that_are_pinned():
    assert "--require-hashes -r requirements.txt" in DOCKERFILE
    assert re.search(r"install --no-deps \.$", DOCKERFILE, re.MULTILINE)


def test_all_that_is_copied_is_there_and_not_ignored():
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        name
        for names in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for name in names.split()
    ]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in kept


def test_our_containers_write_to_their_volume_alone_and_have_no_rights():
    for name in OURS:
        service = _compose()["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]


def test_one_container_serves_and_one_delivers_with_the_same_settings():
    services = _compose()["services"]
    assert [services[name]["command"] for name in OURS] == [
        ["smsgw", "serve", "--no-worker"],
        ["smsgw", "worker"],
    ]
    assert services["server"]["environment"] == services["worker"]["environment"]
    assert set(services["server"]["environment"]) <= set(settings.environment_names())


def test_each_volume_and_service_that_is_named_is_there():
    compose = _compose()
    for service in compose["services"].values():
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        names = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert names <= set(compose["volumes"])
    for config in compose["configs"].values():
        assert (DEPLOY / config["file"]).is_file()


def test_only_the_proxy_can_be_reached_from_outside():
    reachable = [name for name, service in _compose()["services"].items() if "ports" in service]
    assert reachable == ["proxy"]


def test_the_proxy_has_the_tested_rules_with_other_names(tmp_path: Path):
    site = (DEPLOY / "Caddyfile").read_text()
    for old, new in (("sms.example.org", "{$DOMAIN}"), ("127.0.0.1:", "server:")):
        site = site.replace(old, new)
    assert (DEPLOY / "compose.Caddyfile").read_text() == site
    command = [shutil.which("caddy") or missing("caddy is not installed"), "validate"]
    options = ["--adapter", "caddyfile", "--config", str(DEPLOY / "compose.Caddyfile")]
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    ran = subprocess.run(
        [*command, *options],
        env=environment(DOMAIN="sms.example.org", **homes),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
