"""Holds the stock app's tables and follows its rules; without network, clock and waiting.

Times are milliseconds since 1970, handed in. The rules are those of cht-gateway v1.8.1 and, with
`old=True`, of v1.7.4."""

from __future__ import annotations

import heapq
import itertools
import json
import math
import re
import uuid
from typing import Any

from demo.rows import (
    BATCH_MESSAGES,
    BATCH_UPDATES,
    Batch,
    Ledger,
    Network,
    Outgoing,
    Received,
    Report,
    Update,
    good_network,
    leaves,
)

SEND_AT_ONCE = 10
MAX_RETRIES = 20
RETRY_UNIT_MS = 60_000
OLD_DATA_MS = 7 * 24 * 3600 * 1000
NUMBER = re.compile(r"\+?[0-9.-]+")
BLANKS = re.compile(r"[-\s]", re.ASCII)
EMPTY_CONTENT = (
    "Exception: java.lang.IllegalArgumentException: Invalid message body; "
    "message: Invalid message body; cause: null"
)


class BadAnswer(Exception):
    """The app cannot use the server's answer."""


class Handset:
    """The app's three tables. `speed` shortens its waits: retries and the network's reports."""

    def __init__(
        self,
        network: Network = good_network,
        ledger: Ledger | None = None,
        *,
        old: bool = False,
        speed: float = 1.0,
    ) -> None:
        self.network = network
        self.ledger = ledger or Ledger()
        self.old = old
        self.speed = speed
        self.log: list[Received] = []  # the file on the SD card; outlives everything else
        self._rows = itertools.count()
        self._new_tables()

    def _new_tables(self) -> None:
        self.received: dict[str, Received] = {}
        self.outgoing: dict[str, Outgoing] = {}
        self._waiting: dict[str, Received] = {}
        self._unsent: dict[str, Outgoing] = {}
        self._updates: dict[str, list[tuple[int, Update]]] = {}
        self.needs_forwarding: dict[int, Update] = {}
        self._reports: list[tuple[float, int, str, Report]] = []

    # --- SMS that come in ---

    def receive(self, content: str, sender: str, now: int, sms_sent: int | None = None) -> str:
        """Store an SMS that arrives, and return its new id. A multipart one has `sms_sent` 0, as in the app."""
        one_part = len(content) <= (160 if content.isascii() else 70)
        stamp = now // 1000 * 1000 if one_part else 0
        id_ = str(uuid.uuid4())
        self._keep(
            Received(id_, sender, content, stamp if sms_sent is None else sms_sent, now, now)
        )
        self.log.append(self.received[id_])
        return id_

    def _keep(self, message: Received) -> None:
        self.received[message.id] = self._waiting[message.id] = message

    # --- one poll ---

    def batch(self) -> Batch:
        """Return the 10 oldest waiting SMS and the first 20 updates."""
        messages = heapq.nsmallest(
            BATCH_MESSAGES, self._waiting.values(), key=lambda row: row.last_action
        )
        return Batch(messages, heapq.nsmallest(BATCH_UPDATES, self.needs_forwarding.items()))

    def forget(self, batch: Batch) -> None:
        """Note a 2xx with a JSON object: the phone never sends this batch again."""
        for message in batch.messages:
            if self._waiting.pop(message.id, None):
                message.status = "FORWARDED"
                self.ledger.forwarded += 1
        for number, _ in batch.updates:
            self.needs_forwarding.pop(number, None)

    def unreported(self) -> int:
        """Return how many messages have a change that was not reported to the server."""
        return len({row.message_id for row in self.needs_forwarding.values()})

    def store(self, messages: Any, now: int) -> int:
        """Store what the server hands out, and return how many items were new or known.

        BadAnswer when it is neither a list nor null. A bad item is skipped silently."""
        if messages is None:
            return 0
        if not isinstance(messages, list):
            raise BadAnswer(f"messages is not a list but {json.dumps(messages)[:40]}")
        return sum(self._store_one(item, now) for item in messages)

    def _store_one(self, item: Any, now: int) -> bool:
        if not isinstance(item, dict) or not {"id", "to", "content"} <= item.keys():
            return False
        id_, to, content = (as_java_text(item[key]) for key in ("id", "to", "content"))
        if id_ in self.outgoing:
            self._touch(self.outgoing[id_], now)
        else:
            self._add(Outgoing(id_, BLANKS.sub("", to), content, now), now)
        return True

    def _add(self, message: Outgoing, now: int) -> None:
        self.outgoing[message.id] = message
        self.ledger.stored(message.id, message.to)
        self._change(message, "UNSENT", now)

    def _touch(self, message: Outgoing, now: int) -> None:
        """Report the last update of a known id again, and restart its wait; it is never sent again."""
        message.last_action = now
        number, row = self._updates[message.id][-1]
        self.needs_forwarding[number] = row

    # --- sending ---

    def send_unsent(self, now: int) -> None:
        """Take 10 unsent rows first, and only then drop those that still wait for a retry."""
        rows = heapq.nsmallest(SEND_AT_ONCE, self._unsent.values(), key=lambda m: m.last_action)
        due = [row for row in rows if now >= self.retry_at(row)]
        for message in due:
            # v1.7 reuses one PendingIntent: all reports of a round reach its first message
            self._send(message, due[0] if self.old else message, now)

    def retry_at(self, message: Outgoing) -> float:
        return message.last_action + RETRY_UNIT_MS * math.pow(message.retries, 1.5) / self.speed

    def _send(self, message: Outgoing, reported_as: Outgoing, now: int) -> None:
        self._change(message, "PENDING", now)
        if not NUMBER.fullmatch(message.to):
            return self._fail(message, "destination.invalid", now)
        if not message.content:
            return self._fail(message, EMPTY_CONTENT, now)
        reports = self.network(message)
        if leaves(reports):
            self.ledger.messages[message.id].sent += 1
        for report in reports:
            due = now + report.after_ms / self.speed
            entry = (due, next(self._rows), reported_as.id, report)
            heapq.heappush(self._reports, entry)
        return self.settle(now)

    def settle(self, now: int) -> None:
        """Apply the network's reports that are due."""
        while self._reports and self._reports[0][0] <= now:
            _, _, id_, report = heapq.heappop(self._reports)
            if id_ in self.outgoing:
                self._reported(self.outgoing[id_], report, now)

    def _reported(self, message: Outgoing, report: Report, now: int) -> None:
        if report.event == "sent" and message.status == "PENDING":
            self._change(message, "SENT", now)
        elif report.event == "delivered":
            self._change(message, "DELIVERED", now)
        elif report.event == "retry":
            self._retry(message, report.reason, now)
        elif report.event == "undelivered":
            self._fail(message, f"Delivery failed: {report.reason}", now)
        elif report.event == "failed":
            self._fail(message, report.reason, now)

    def _retry(self, message: Outgoing, reason: str, now: int) -> None:
        if self.old or message.retries >= MAX_RETRIES:
            return self._fail(message, reason, now)
        message.retries += 1
        return self._change(message, "UNSENT", now)

    def _fail(self, message: Outgoing, reason: str, now: int) -> None:
        """Fail a message that is PENDING: the app drops a failed delivery report after SENT."""
        if message.status == "PENDING":
            self._change(message, "FAILED", now, reason)

    def _change(self, message: Outgoing, status: str, now: int, reason: str = "") -> None:
        message.status, message.last_action = status, now
        self.ledger.messages[message.id].last_status = status
        if status == "UNSENT":
            self._unsent[message.id] = message
        else:
            self._unsent.pop(message.id, None)
        row = Update(message.id, status, reason)
        number = next(self._rows)
        self._updates.setdefault(message.id, []).append((number, row))
        if not (self.old and status == "UNSENT"):
            self.needs_forwarding[number] = row

    # --- what its user can do ---

    def compose(self, to: str, content: str, now: int) -> str:
        """Send an SMS written on the phone itself: the server gets updates with an id it does not know."""
        id_ = str(uuid.uuid4())
        self._add(Outgoing(id_, BLANKS.sub("", to), content, now), now)
        return id_

    def press_retry(self, id_: str, now: int) -> None:
        """Press the Retry button of a PENDING or FAILED message; the SMS may be sent twice."""
        message = self.outgoing[id_]
        if message.status in ("PENDING", "FAILED"):
            message.retries = 0
            self._change(message, "UNSENT", now)

    def clear_old_data(self, now: int) -> None:
        """Drop SMS unchanged for 7 days, unsent ones too; their updates survive."""
        for id_ in [i for i, row in self.outgoing.items() if now - row.last_action > OLD_DATA_MS]:
            self._unsent.pop(id_, None)
            del self.outgoing[id_]
        for id_ in [i for i, row in self.received.items() if now - row.last_action > OLD_DATA_MS]:
            self._waiting.pop(id_, None)
            del self.received[id_]

    def restart_app(self) -> None:
        """Read the file on the SD card: SMS that are no longer in the table wait again, with old ids."""
        for row in self.log:
            if row.id not in self.received:
                times = (row.sms_sent, row.sms_received, row.sms_received)
                self._keep(Received(row.id, row.sender, row.content, *times))

    def reinstall(self) -> None:
        """Clear all tables, but not the file on the SD card."""
        self._new_tables()


def as_java_text(value: Any) -> str:
    """Return a JSON value as org.json's getString does: null becomes the text "null"."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
