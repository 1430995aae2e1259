"""Joins the app's tables to its HTTP stack as a simulated phone, one step per call."""

from __future__ import annotations

import asyncio
import codecs
import json
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from demo.connection import BadReply, Reply, Sleep
from demo.handset import BadAnswer, Handset
from demo.rows import Batch, Ledger, Network, good_network, radio_off
from demo.target import typed_url
from demo.wire import Fault, Finish, Wire

FAULT_CHANCE = 0.3
SLOW_PAUSE_SECONDS = 0.2
LINE_FAULTS = (OSError, EOFError, BadReply, ValueError)


class Mode(StrEnum):
    OK = "ok"
    RADIO_OFF = "radio-off"
    FLAKY = "flaky"
    SILENT = "silent"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    V1_7 = "v1.7"
    REINSTALL = "reinstall"
    SWAP = "swap"
    LATE_POLL = "late-poll"


LOSES_DATA = (Mode.REINSTALL, Mode.SWAP)


@dataclass(frozen=True, slots=True)
class Poll:
    """One POST: what it carried, the answer's status (None: no answer), "" or what went wrong,
    how many messages the answer handed out, and how long it took in real seconds."""

    batch: Batch
    status: int | None
    error: str
    handed_out: int
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.error


class Phone:
    """The stock app on one phone; nothing happens between calls.

    `clock` gives Unix seconds. `speed` shortens the phone's own waits (retries, reports). `ledger`
    counts the SMS that left and may be shared by many phones. `watch` sees every poll.
    `timeout` in seconds; None as in the app. Mode.SLOW alone sleeps: `pause` seconds per piece.
    ValueError for a URL the app would not take."""

    def __init__(
        self,
        url: str,
        mode: Mode = Mode.OK,
        *,
        network: Network | None = None,
        ledger: Ledger | None = None,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        speed: float = 1.0,
        timeout: float | None = None,
        pause: float = SLOW_PAUSE_SECONDS,
        sleep: Sleep = asyncio.sleep,
        watch: Callable[[Poll], None] = lambda poll: None,
        source: str | None = None,
    ) -> None:
        self.target = typed_url(url)
        self.mode = mode
        self.old = mode is Mode.V1_7
        self._network = network or (radio_off if mode is Mode.RADIO_OFF else good_network)
        self._speed = speed
        self.ledger = ledger or Ledger()
        self.handset = self._new_handset()
        self.silenced = False
        self._has_lost_data = False
        self._late: tuple[Batch, Finish] | None = None
        self._wire = Wire(pause if mode is Mode.SLOW else 0.0, sleep, source)
        self._clock = clock
        self._rng = rng or random.Random()
        self._timeout = timeout
        self._watch = watch
        self._version = "v1.7.4" if self.old else "v1.8.1"

    def now(self) -> int:
        return int(self._clock() * 1000)

    async def check(self) -> str:
        """Return what the app says when the URL is saved; empty if it accepts it."""
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._wire.get(self.target, self._version)
        except ssl.SSLError:
            return "SSL connection failed"
        except LINE_FAULTS:
            return "unable to contact server"
        if reply.status == 401:
            return "authorisation failed"
        try:
            sign = json_object(reply).get("medic-gateway")
        except (BadAnswer, BadReply):
            return "URL not responding in expected way"
        is_gateway = str(sign).lower() == "true"
        return "" if is_gateway else "URL not responding in expected way"

    async def poll_once(self) -> Poll:
        """Make one request with the oldest SMS and updates, and apply its answer."""
        self.handset.settle(self.now())
        batch = self.handset.batch()
        return await self._exchange(batch, self._post(batch))

    async def _exchange(self, batch: Batch, posting: Awaitable[Reply]) -> Poll:
        began, status, error, count = time.perf_counter(), None, "", 0
        try:
            reply = await posting
            status = reply.status
            count = self._take(batch, json_object(reply))
        except BadAnswer as problem:
            error = str(problem)
        except LINE_FAULTS as problem:
            error = str(problem) or type(problem).__name__
        poll = Poll(batch, status, error, count, time.perf_counter() - began)
        self._watch(poll)
        return poll

    async def wake(self) -> list[Poll]:
        """Handle one alarm: poll while batches are full, then send, even if the poll failed."""
        if self.silenced:
            return []
        polls = await self._round()
        while polls[-1].ok and polls[-1].batch.full and not self.old:
            polls += await self._round()
        polls += await self._finish_late_poll()
        self._send()
        self._fall_silent(polls)
        await self._lose_data(polls)
        await self._begin_late_poll()
        return polls

    async def receive(self, content: str, sender: str) -> Poll | None:
        """Handle an SMS that arrives: one poll at once, without a loop; `None` if the app makes none.

        In Mode.DUPLICATE it is two polls, and the second is returned."""
        self.handset.receive(content, sender, self.now())
        if self.old or self.silenced:
            return None
        polls = await self._round()
        if any(poll.ok for poll in polls):
            self._send()
        self._fall_silent(polls)
        return polls[-1]

    def close(self) -> None:
        self._wire.close()

    def _new_handset(self) -> Handset:
        return Handset(self._network, self.ledger, old=self.old, speed=self._speed)

    async def _lose_data(self, polls: list[Poll]) -> None:
        """Lose the data once, after the first hand-out is sent and before anything of it is reported."""
        if self.mode not in LOSES_DATA or self._has_lost_data or not handed_out(polls):
            return
        self._has_lost_data = True
        if self.mode is Mode.SWAP:
            self.handset = self._new_handset()
        else:
            self.handset.reinstall()
            self.handset.restart_app()
        await self.check()

    async def _begin_late_poll(self) -> None:
        batch = self.handset.batch()
        if self.mode is Mode.LATE_POLL and batch.updates:
            with suppress(*LINE_FAULTS):
                body = batch.as_bytes()
                finish = await self._wire.begin_post(self.target, body, self._version)
                self._late = batch, finish

    async def _finish_late_poll(self) -> list[Poll]:
        late, self._late = self._late, None
        return [await self._exchange(late[0], late[1]())] if late else []

    async def _round(self) -> list[Poll]:
        if self.mode is Mode.DUPLICATE:
            return list(await asyncio.gather(self.poll_once(), self.poll_once()))
        poll = await self.poll_once()
        if self.old and poll.status is None:
            return [poll, await self.poll_once()]  # it leaves the wifi and posts again at once
        return [poll]

    async def _post(self, batch: Batch) -> Reply:
        async with asyncio.timeout(self._timeout):
            body = batch.as_bytes()
            return await self._wire.post(self.target, body, self._version, self._fault())

    def _fault(self) -> Fault:
        if self.mode is not Mode.FLAKY or self._rng.random() >= FAULT_CHANCE:
            return Fault.NONE
        return self._rng.choice([fault for fault in Fault if fault is not Fault.NONE])

    def _take(self, batch: Batch, answer: dict[str, Any]) -> int:
        self.handset.forget(batch)
        return self.handset.store(answer.get("messages"), self.now())

    def _fall_silent(self, polls: list[Poll]) -> None:
        self.silenced = self.mode is Mode.SILENT and handed_out(polls)

    def _send(self) -> None:
        self.handset.settle(self.now())
        self.handset.send_unsent(self.now())


def handed_out(polls: list[Poll]) -> bool:
    return any(poll.handed_out for poll in polls)


def json_object(reply: Reply) -> dict[str, Any]:
    """The answer's object; a byte order mark before and anything behind it do no harm.

    BadAnswer for any status but 2xx and any other content."""
    text = reply.content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").lstrip()
    if not 200 <= reply.status < 300:
        raise BadAnswer(f"HTTP {reply.status}")
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"HTTP {reply.status} without JSON") from error
    if not isinstance(value, dict):
        raise BadAnswer(f"HTTP {reply.status} without a JSON object")
    return value
