"""Defines the rows of the app's tables, the content of a request, and the network's reports on an SMS."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

BATCH_MESSAGES = 10
BATCH_UPDATES = 20


@dataclass(slots=True, eq=False)
class Received:
    """A row of `wt_message`: an SMS on its way to the server, WAITING or FORWARDED."""

    id: str
    sender: str
    content: str
    sms_sent: int
    sms_received: int
    last_action: int
    status: str = "WAITING"

    def as_json(self) -> dict[str, Any]:
        times = {"sms_received": self.sms_received, "sms_sent": self.sms_sent}
        return times | {"content": self.content, "from": self.sender, "id": self.id}


@dataclass(slots=True, eq=False)
class Outgoing:
    """A row of `wo_message`: an SMS the phone has to send."""

    id: str
    to: str
    content: str
    last_action: int
    status: str = "UNSENT"
    retries: int = 0


@dataclass(slots=True, eq=False)
class Update:
    """A row of `wom_status`: one change of status to report to the server."""

    message_id: str
    status: str
    reason: str

    def as_json(self) -> dict[str, str]:
        update = {"status": self.status, "id": self.message_id}
        return update | ({"reason": self.reason} if self.status == "FAILED" else {})


@dataclass(slots=True)
class Batch:
    """The content of one request; both lists are always in it, empty or not."""

    messages: list[Received]
    updates: list[tuple[int, Update]]

    @property
    def full(self) -> bool:
        return len(self.messages) == BATCH_MESSAGES or len(self.updates) == BATCH_UPDATES

    def as_bytes(self) -> bytes:
        """As Android writes it: `/` and U+2028/9 escaped, a lone surrogate as `?`."""
        messages = [message.as_json() for message in self.messages]
        body = {"messages": messages, "updates": [row.as_json() for _, row in self.updates]}
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        return text.encode("utf-8", "replace")


@dataclass(slots=True, frozen=True)
class Report:
    """The network's report on an SMS, after `after_ms` of the phone's time.

    `event` is sent, delivered, failed, retry (no service, radio off, null PDU) or undelivered."""

    after_ms: int
    event: str
    reason: str = ""


Network = Callable[[Outgoing], list[Report]]


def leaves(reports: list[Report]) -> bool:
    """Whether an SMS with these reports has left the phone."""
    return not reports or reports[0].event not in ("failed", "retry")


def good_network(message: Outgoing) -> list[Report]:
    return [Report(500, "sent"), Report(3000, "delivered")]


def radio_off(message: Outgoing) -> list[Report]:
    return [Report(0, "retry", "radio-off")]


@dataclass(slots=True)
class Fate:
    to: str
    sent: int = 0
    last_status: str = "UNSENT"


@dataclass(slots=True)
class Ledger:
    """Counts the SMS that were really sent, whatever the phones' tables say; several phones may share one."""

    messages: dict[str, Fate] = field(default_factory=dict)
    forwarded: int = 0

    def stored(self, id_: str, to: str) -> None:
        self.messages.setdefault(id_, Fate(to))

    def sent_twice(self) -> list[str]:
        return [id_ for id_, fate in self.messages.items() if fate.sent > 1]
