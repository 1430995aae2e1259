"""Generated requests: nothing makes a 5xx, and every answer is as /openapi.json says."""

from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
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
    }
    return api, names


def test_every_answer_is_as_described(stage: tuple[Api, dict[str, str]]) -> None:
    api, _ = stage
    document = schemathesis.openapi.from_wsgi("/openapi.json", api.world.app)
    close_answers(document.raw_schema)
    # The phone's endpoint takes what it can of a body, and has tests of its own.
    for result in document.exclude(path="/api/sms").get_all_operations():
        for mode in GenerationMode:
            _try_out(result.ok(), mode, stage)


def _try_out(operation: Any, mode: GenerationMode, stage: tuple[Api, dict[str, str]]) -> None:
    api, names = stage
    is_for_operators = operation.path.removeprefix("/api/v1").startswith(OPERATORS)
    headers = {
        **(api.operator if is_for_operators else api.crm),
        # The client of this test unpacks nothing.
        "Accept-Encoding": "identity",
    }

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
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
