"""Defines what the hub needs of a protocol: pure conversations, text in and text out, without a socket.

A conversation belongs to one socket. Its methods that return an `Answer` are called on a small pool of threads, so they
may use the database, but never two at a time for one socket: they run in the order in which things happened, and their
answers are sent in that order. An exception is logged and drops the connection: a client that went on after its message
was lost would wait without end. Only a `work()` that failed is called again instead, at the next poll.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..store.db import Database


@dataclass(frozen=True)
class Close:
    """In an answer: send a WebSocket Close frame. Nothing is sent or read after it."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True)
class Drop:
    """In an answer: end the TCP connection without a Close frame, so that the client sees a fault and reconnects."""


Answer = Sequence[str | Close | Drop]


class Conversation(Protocol):
    """One client's side of a protocol. `key` identifies its owner, such as a device's name."""

    key: str
    kind: "Kind"

    def opened(self) -> Answer:
        """Return the first messages of an open socket. Nothing else is sent before them, not even a heartbeat.

        Afterwards `work()` is called on the other conversations of the same kind and key in this process.
        """

    def received(self, message: str | bytes) -> Answer:
        """Answer a message of at most 64 KiB: a text, or a binary message, which may be the same in UTF-8."""

    def work(self) -> Answer:
        """Return what is new for this client, or the end of the socket where its key or place is no longer valid.

        Return at most 128 KiB at a time: after an answer it is called again, as soon as the client has read it.
        """

    def last_messages(self) -> Sequence[str]:
        """Return the last messages when the server stops; the connection is dropped after them. Must not block."""

    def alive(self) -> None:
        """Note that the client answered a WebSocket ping (sent every 25 s). Must not block."""

    def closed(self) -> None:
        """Note that the socket is gone, whoever ended it. Not called when the process ends, so nothing may need it."""


@dataclass(frozen=True, eq=False)
class Kind:
    """The common part of all conversations of one protocol; one constant per protocol.

    `find_ready` gets the database and all open conversations of the kind in this process and returns those that may
    have work. It uses one query for all of them, because it is called at each change notification and once a second.
    `inspect` is called in the same way every five seconds, for less urgent checks (a revoked key, a newer socket).
    `heartbeat` returns a text that is sent to all of them every `heartbeat_seconds`, at the same moment.
    `most` limits the sockets of one key in this process; with `None`, a newer socket replaces an older one.
    `needs_live_line` has the client pinged before `work()` is called, unless it sent anything in the last five seconds,
    because what is handed to a dead line is lost.
    `too_big` is the answer to a message above 64 KiB.
    """

    name: str
    find_ready: Callable[[Database, Sequence[Any]], Sequence[Any]]
    inspect: Callable[[Database, Sequence[Any]], Sequence[Any]] | None = None
    heartbeat: Callable[[], str] | None = None
    heartbeat_seconds: float = 0.0
    needs_live_line: bool = False
    too_big: Close | Drop = Drop()
    most: int | None = None
