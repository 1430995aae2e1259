"""Bounds come before work: length, count and depth of what callers send are checked before any item is read."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import marshmallow as ma
import pytest
from marshmallow import fields, validate

from smsgw.api.schemas.fields import BoundedList, Metadata
from smsgw.http import answers, bodies, json_limits
from smsgw.http.parsing import StrictSchema
from smsgw.settings import Settings
from tests.conftest import World, application

EMPTY = gzip.compress(b"", mtime=0)
MESSAGE = {"to": "+4915112345678", "content": "hi"}


def _taken(schema: type[StrictSchema] = StrictSchema) -> Iterator[type[StrictSchema]]:
    for inner in schema.__subclasses__():
        yield inner
        yield from _taken(inner)


def _bound(field: Any) -> bool:
    if isinstance(field, fields.List):
        return isinstance(field, BoundedList) and _bound(field.inner)
    if isinstance(field, fields.Nested):
        return issubclass(field.schema.__class__, StrictSchema)
    if isinstance(field, fields.Dict):
        return isinstance(field, Metadata)
    if isinstance(field, fields.String):
        kinds = (validate.Length, validate.OneOf, validate.Regexp)
        is_bound = any(
            isinstance(one, kinds) and getattr(one, "max", 1) for one in field.validators
        )
        return is_bound or "maxLength" in field.metadata
    return not isinstance(field, fields.Raw | fields.Mapping)


def test_every_field_that_is_taken_from_a_caller_has_a_bound(settings: Settings):
    with application(settings):  # imports all schemas
        pass
    unbound = [
        f"{schema.__name__}.{name}"
        for schema in _taken()
        for name, field in schema().fields.items()
        if not _bound(field)
    ]
    assert len(list(_taken())) > 10
    assert not unbound


def test_the_length_of_a_list_is_checked_before_its_items():
    read = []

    class Item(fields.String):
        def _deserialize(self, value: Any, *more: Any, **options: Any) -> str:
            read.append(value)
            return str(value)

    schema = ma.Schema.from_dict({"items": BoundedList(Item(), most=3)})()
    with pytest.raises(ma.ValidationError, match="Longer than maximum length 3"):
        schema.load({"items": [1] * 1000})
    assert read == []
    assert schema.load({"items": ["1", "2"]}) == {"items": ["1", "2"]}


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [' + b"{}," * 100_000 + b"{}]}",
        b'{"messages": [' + b'{"x": {}},' * 100_000 + b"{}]}",
        json.dumps({f"field{number}": 1 for number in range(100_000)}).encode(),
        json.dumps({"messages": [{f"f{n}": 1 for n in range(1000)}] * 400}).encode(),
        b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages": [' + b"0," * 1_000_000 + b"0]}",
        b'{"' + b"x" * 1_000_000 + b'": 1}',
        json.dumps({"messages": [{"to": "x" * 3000, "content": "hi"}] * 1000}).encode(),
    ],
    ids=["{}", "nested", "fields", "rows of fields", "depth", "numbers", "long key", "long values"],
)
def test_a_hostile_batch_is_refused_with_a_short_answer(world: World, body: bytes):
    answer = world.client.post("/api/v1/messages/batch", headers=world.as_crm(), data=body)
    assert answer.status_code in (400, 422)
    assert len(answer.data) < 130_000
    assert len(answer.json["message"]) <= answers.MOST_MESSAGE_CHARACTERS


def test_the_details_of_an_error_say_what_fits_and_that_there_was_more(world: World):
    answer = world.client.post(
        "/api/v1/messages/batch", headers=world.as_crm(), json={"messages": [{}] * 1000}
    )
    assert answer.status_code == 422
    assert answer.json["details"]["truncated"] is True
    assert answer.json["details"]["messages"]["0"] == {
        "to": ["Missing data for required field."],
        "content": ["Missing data for required field."],
    }
    few = world.client.post(
        "/api/v1/messages/batch", headers=world.as_crm(), json={"messages": [{}] * 10}
    )
    assert len(few.json["details"]["messages"]) == 10
    assert "truncated" not in few.json["details"]


def test_a_batch_of_a_thousand_with_metadata_is_no_bomb(world: World):
    batch = [{**MESSAGE, "metadata": {f"k{n}": [n] for n in range(100)}}] * 1000
    body = json.dumps({"messages": batch}).encode()
    assert json_limits.find_excess(body) is None
    assert json_limits.find_excess(json.dumps("[{," * 1_000_000).encode()) is None
    assert json_limits.find_excess(b'"\\"' + b"[" * 100 + b'"') is None


@pytest.mark.parametrize("path", ["/registerDevice", "/registerCRM", "/sendMessage"])
def test_a_wrong_key_in_the_header_is_refused_before_the_body_is_read(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
):
    def read(_limit: int) -> bytes:
        raise AssertionError("the body was read")

    monkeypatch.setattr(bodies, "read", read)
    answer = world.client.post(path, headers=world.as_crm("crm_live_" + "0" * 64), data=b"x")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/api/sms",
        "/api/v1/messages",
        "/api/v1/gateway/heartbeat",
        "/api/v1/sms/send",
        "/api/v1/crms",
    ],
)
def test_a_body_without_a_right_key_is_never_read(
    world: World, path: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bodies, "read", None)
    assert world.client.post(path, data=b"x").status_code == 401


def _post_gzip(world: World, body: bytes, path: str = "/api/v1/messages") -> Any:
    headers = {**world.as_crm(), "Content-Encoding": "gzip"}
    return world.client.post(path, headers=headers, data=body)


def test_a_gzip_body_has_a_bounded_number_of_members(world: World):
    answer = _post_gzip(world, EMPTY * 50_000)
    assert (answer.status_code, answer.json["code"]) == (400, "bad_gzip")
    pieces = [json.dumps(MESSAGE).encode()[at : at + 1] for at in range(len(json.dumps(MESSAGE)))]
    assert len(pieces) < bodies.MOST_GZIP_MEMBERS
    assert _post_gzip(world, b"".join(map(gzip.compress, pieces))).status_code == 202


def test_unpacking_copies_each_part_of_a_gzip_body_once(monkeypatch: pytest.MonkeyPatch):
    # 99 members and then one of 4 MiB: copying the rest after each member would be 400 MiB.
    body = EMPTY * 99 + gzip.compress(bytes(range(256)) * 16_384, compresslevel=0)
    given = []
    inflate = bodies._inflate
    monkeypatch.setattr(
        bodies,
        "_inflate",
        lambda unpacker, piece, most: given.append(len(piece)) or inflate(unpacker, piece, most),
    )
    assert len(bodies._unpack(body, 5 * 1024 * 1024)) == 4 * 1024 * 1024
    assert sum(given) < len(body) + 100 * 64 * 1024


def test_a_gzip_bomb_ends_at_the_limit(world: World):
    assert _post_gzip(world, gzip.compress(b" " * 100_000_000)).status_code == 413
    assert _post_gzip(world, gzip.compress(b"{}")[:-1]).json["code"] == "incomplete_body"
    assert _post_gzip(world, gzip.compress(b"{}") + b"more").json["code"] == "bad_gzip"
