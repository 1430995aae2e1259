"""What a strict schema reads, and the faults that it finds, are marshmallow's own."""

from typing import Any

import marshmallow as ma
import pytest

from smsgw.api.schemas.devices import NewDevice
from smsgw.api.schemas.message_requests import BatchSchema, DraftSchema, Resend
from smsgw.http.parsing import StrictSchema

DRAFT = {"to": "+12025550123", "content": "hello"}
BODIES: list[tuple[type[StrictSchema], Any]] = [
    (DraftSchema, DRAFT),
    (DraftSchema, {**DRAFT, "send_at": "2026-03-01T12:00:00Z", "ttl": None, "metadata": {"a": []}}),
    (DraftSchema, {**DRAFT, "priority": 9, "reference": "r", "device_id": "d"}),
    (DraftSchema, {}),
    (DraftSchema, {"to": 12025550123, "content": None, "priority": True, "nonsense": 1}),
    (DraftSchema, {**DRAFT, "reference": "", "ttl": 0}),
    (DraftSchema, []),
    (BatchSchema, {"messages": [DRAFT, DRAFT]}),
    (BatchSchema, {"messages": [DRAFT, {"to": 1}, {}]}),
    (BatchSchema, {"messages": []}),
    (Resend, {}),
    (Resend, {"may_duplicate": True}),
    (Resend, {"may_duplicate": "yes"}),
    (NewDevice, {"device_id": "phone-1"}),
    (NewDevice, {}),
]


class WithHook(StrictSchema):
    count = ma.fields.Integer()

    @ma.post_load
    def double(self, data: dict[str, int], **_options: Any) -> dict[str, int]:
        return {name: 2 * value for name, value in data.items()}


@pytest.mark.parametrize(("schema", "body"), BODIES)
def test_a_body_is_read_as_marshmallow_reads_it(schema: type[StrictSchema], body: Any):
    assert _outcome(schema().load, body) == _outcome(lambda it: ma.Schema.load(schema(), it), body)


def test_hooks_and_partial_reading_are_left_to_marshmallow():
    assert WithHook().load({"count": 1}) == {"count": 2}
    assert DraftSchema().load({"to": "+12025550123"}, partial=True) == {"to": "+12025550123"}
    assert Resend(many=True).load([{}]) == [{"may_duplicate": False}]


def _outcome(load: Any, body: Any) -> Any:
    try:
        return load(body)
    except ma.ValidationError as error:
        return error.messages
