"""A CRM, an operator and a phone that call the app, for the tests of the REST API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from smsgw.core.accounts import operators
from smsgw.store.models import Device

from ..conftest import NOW, World

NUMBER = "+12025550123"
DRAFT = {"to": NUMBER, "content": "hello"}


@dataclass
class Api:
    """Calls of the CRM `clinic`, of the operator and of `phone-1`."""

    world: World
    operator: dict[str, str]

    @property
    def crm(self) -> dict[str, str]:
        return self.world.as_crm()

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any):
        """One request under /api/v1, as the CRM unless `headers` say otherwise."""
        return self.world.client.open(
            f"/api/v1{path}",
            method=method,
            headers=self.crm if headers is None else headers,
            **more,
        )

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any):
        return self.call("GET", path, headers, query_string=query)

    def post(self, path: str, body: Any = None, headers: dict[str, str] | None = None):
        return self.call("POST", path, headers, **({} if body is None else {"json": body}))

    def send(self, headers: dict[str, str] | None = None, **draft: Any) -> str:
        """Queues an SMS and returns its id."""
        answer = self.post("/messages", {**DRAFT, **draft}, headers)
        assert answer.status_code in (200, 202), answer.text
        return answer.json["id"]

    def poll(self, messages: list[Any] | None = None, updates: list[Any] | None = None) -> list:
        """The phone polls; returns what it is to send."""
        answer = self.world.client.post(
            "/api/sms",
            json={"messages": messages or [], "updates": updates or []},
            headers=self.world.as_device(),
        )
        assert answer.status_code == 200, answer.text
        return answer.json["messages"]

    def receive(self, phone_id: str, sender: str = NUMBER, content: str = "hi") -> None:
        """The phone brings an SMS."""
        self.poll([{"id": phone_id, "from": sender, "content": content}])

    def set_device(self, device_id: str = "phone-1", **values: Any) -> None:
        with self.world.database.transaction() as session:
            session.execute(sa.update(Device).where(Device.id == device_id).values(**values))

    def see_device(self, at: datetime, device_id: str = "phone-1") -> None:
        self.set_device(device_id, last_seen_at=at)


@pytest.fixture
def api(world: World) -> Api:
    with world.database.transaction() as session:
        key = operators.add(session, "olga", NOW)
    return Api(world, {"Authorization": f"Bearer {key}"})


def close_answers(document: dict[str, Any]) -> None:
    """Has the schemas of answers allow nothing that they do not name: what this version sends is all described."""
    for schema in document["components"]["schemas"].values():
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
