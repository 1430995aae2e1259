"""What a protocol is to the hub: pure conversations, text in and text out, that know no socket.

A conversation belongs to one socket. Its methods that return an `Answer` are called on a small pool of threads, so they
may use the database, and never two at a time for one socket: in the order things happened. Whatever they return is sent
in that order. An exception is logged and drops the connection: a client that goes on after words which came to nothing
would wait for ever. Only a `work()` that failed is asked again instead, at the next look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..store.db import Database


@dataclass(frozen=True)
class Close:
    """In an answer: say goodbye with a WebSocket Close frame. Nothing is sent or heard after it."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True)
class Drop:
    """In an answer: end the TCP connection without a Close frame, so that the client sees a fault and comes back."""


Answer = Sequence[str | Close | Drop]


class Conversation(Protocol):
    """One client's side of a protocol. `key` is whose it is, such as a device's name."""

    key: str
    kind: "Kind"

    def opened(self) -> Answer:
        """The socket is open: the first words. Nothing else, no beat either, is sent before them.

        Afterwards the other conversations of the same kind and key in this process are asked for `work()`.
        """

    def received(self, message: str | bytes) -> Answer:
        """The client sent a message of at most 64 KiB: a text, or a binary one, which may be the same in UTF-8."""

    def work(self) -> Answer:
        """There may be something for this client, or it may be unwelcome by now: look, and say it.

        Say at most 128 KiB at a time: after words it is asked again, as soon as the client has read them.
        """

    def farewell(self) -> Sequence[str]:
        """The last words when the server stops; the connection is dropped after them. Must not block."""

    def alive(self) -> None:
        """The client answered a WebSocket ping (one is sent each 25 s). Must not block."""

    def closed(self) -> None:
        """The socket is gone, whoever ended it. Not called when the process ends: nothing may depend on it."""


@dataclass(frozen=True, eq=False)
class Kind:
    """What all conversations of one protocol have in common; one constant per protocol.

    `look` gets the database and all open conversations of the kind in this process and returns those that may have
    work: one query for all of them, because it is asked at each hint that something was written and once a second.
    `inspect` is asked each five seconds in the same way, for what is not urgent (a revoked key, a newer socket).
    `beat` is a text that is sent to all of them each `beat_seconds`, at the same moment.
    `most` is how many sockets one key may have in this process, `None` where newer ones take the place of older ones.
    `too_big` is what follows a message above 64 KiB.
    """

    name: str
    look: Callable[[Database, Sequence[Any]], Sequence[Any]]
    inspect: Callable[[Database, Sequence[Any]], Sequence[Any]] | None = None
    beat: Callable[[], str] | None = None
    beat_seconds: float = 0.0
    too_big: Close | Drop = Drop()
    most: int | None = None
