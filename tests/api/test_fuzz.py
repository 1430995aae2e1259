"""Generated requests: nothing makes a 5xx, and every answer is as /openapi.json says."""

from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from smsgw.http.context import EXTENSION

from ..fuzz.mutations import EXAMPLES, IS_LONG, SEED
from .conftest import Api, close_answers

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OPERATORS = ("/devices", "/crms")
URL = "http://127.0.0.1:9/hook"
NUMBER = "+12025550199"
# The suite sends a few requests of those who are let in, `make fuzz` many, and of everybody.
MOST = max(EXAMPLES // 100, 4)
ROLES = ["right", "crm", "operator", "device", "nobody"] if IS_LONG else ["right"]


@pytest.fixture
def stage(api: Api) -> tuple[Api, dict[str, str]]:
    """The API with something in it, and the names of what there is for each path parameter."""
    services = api.world.app.extensions[EXTENSION]
    services.settings = replace(
        services.settings, webhook_allowed_networks=(ip_network("127.0.0.0/8"),)
    )
    api.receive("a")
    webhook_id = api.post("/webhooks", {"url": URL}).json["id"]
    names = {
        "message_id": api.send(),
        "device_id": "phone-1",
        "crm_id": api.post("/crms", {"name": "other"}, api.operator).json["id"],
        "webhook_id": webhook_id,
        "delivery_id": api.post(f"/webhooks/{webhook_id}/test").json["id"],
        "number": api.post("/opt-outs", {"number": NUMBER}).json["number"],
    }
    return api, names


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_described(stage: tuple[Api, dict[str, str]], role: str) -> None:
    api, _ = stage
    document = schemathesis.openapi.from_wsgi("/openapi.json", api.world.app)
    close_answers(document.raw_schema)
    # The phone's endpoint takes what it can of a body, and has tests of its own.
    for result in document.exclude(path="/api/sms").get_all_operations():
        for mode in GenerationMode:
            _try_out(result.ok(), mode, stage, role)


def _credentials(api: Api, role: str, path: str) -> dict[str, str]:
    if role == "right":
        role = "operator" if path.removeprefix("/api/v1").startswith(OPERATORS) else "crm"
    own = {"crm": api.crm, "operator": api.operator, "device": api.world.as_device()}
    return own.get(role, {})


def _try_out(
    operation: Any, mode: GenerationMode, stage: tuple[Api, dict[str, str]], role: str
) -> None:
    api, names = stage
    headers = {
        **_credentials(api, role, operation.path),
        # The client of this test unpacks nothing.
        "Accept-Encoding": "identity",
    }

    @seed(SEED)
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=MOST,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def attempt(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)
        if case.path_parameters:
            case.path_parameters = {name: names[name] for name in case.path_parameters}
            case.call_and_validate(headers=headers, checks=CHECKS)

    # Where nothing can be wrong there is no wrong request to make.
    with suppress(Unsatisfiable):
        attempt()
