"""One client's connection: frames by wsproto on the hub's loop, while the hub's pool asks the conversation."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from wsproto.connection import Connection as Wire
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from .conversation import Answer, Close, Conversation, Drop

if TYPE_CHECKING:
    from .hub import Hub

MOST_MESSAGE_BYTES = 64 * 1024
MOST_UNREAD_BYTES = 256 * 1024
GOODBYE_SECONDS = 5.0
DRAIN_SECONDS = 0.05
PAUSE_AT_STEPS = 64
RESUME_AT_STEPS = 16

Step = Callable[[], Answer]
After = Callable[[Answer], None]

# What a step says that failed: the client comes back, and does again what was not heard.
_FAULT: Answer = [Drop()]


def _nothing(_answer: Answer) -> None:
    """Nothing follows."""


class Connection(asyncio.Protocol):
    """Everything here runs on the hub's loop; only the steps of the conversation run elsewhere, one at a time."""

    __slots__ = (
        "_awaits_pong",
        "_has_work",
        "_hub",
        "_is_busy",
        "_is_closing",
        "_is_lost",
        "_is_open",
        "_is_paused",
        "_message",
        "_message_bytes",
        "_steps",
        "_transport",
        "_wire",
        "conversation",
    )

    def __init__(self, hub: "Hub", conversation: Conversation) -> None:
        self.conversation = conversation
        self._hub = hub
        self._wire = Wire(ConnectionType.SERVER)
        self._transport: Any = None
        self._steps: deque[tuple[Step, After, Answer]] = deque()
        self._message: list[str | bytes] = []
        self._message_bytes = 0
        self._is_open = self._is_closing = self._is_lost = False
        self._is_busy = self._is_paused = self._has_work = self._awaits_pong = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The hub's loop has the socket; the answer to the handshake is sent already."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=MOST_UNREAD_BYTES)
        self._hub.add(self)
        self._ask(self.conversation.opened, self._open)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._is_lost or self._wire.state is ConnectionState.CLOSED:
            return
        self._wire.receive_data(data)
        for event in self._wire.events():
            self._hear(event)

    def pause_writing(self) -> None:
        """The client does not read what it is told."""
        self.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """What the client said before is still heard; then the conversation is over."""
        self._is_lost = True
        self._hub.remove(self)
        if not self._hub.is_stopping:
            self._ask(self._end)

    def work(self) -> None:
        """Has the conversation look for something to say, unless it is about to."""
        if self._is_open and not self._has_work:
            self._has_work = True
            self._ask(self._work, self._work_again, if_it_fails=[])

    def beat(self, frame: bytes) -> None:
        """Sends a frame that was made for everybody."""
        if self._is_open:
            self._transport.write(frame)

    def check(self) -> None:
        """Pings the client; one that has not answered the last ping is gone."""
        if self._is_closing or self._is_paused:
            return
        if self._awaits_pong:
            self.abort()
            return
        self._awaits_pong = True
        self._transport.write(self._wire.send(Ping()))

    def farewell(self) -> None:
        """The last words, and the end without a Close frame: a client that sees a fault comes back soonest."""
        if self._is_open:
            self._say(self.conversation.farewell())
        self._drop()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._is_open = False
        self._is_closing = True
        self._transport.abort()

    def _open(self, _answer: Answer) -> None:
        self._is_open = not self._is_closing and not self._is_lost
        self._hub.nudge_others(self)

    def _work_again(self, answer: Answer) -> None:
        """After words there may be more: asks again once the client has read what it was told."""
        if not self._is_open or not answer:
            return
        if self._transport.get_write_buffer_size() > 0:
            self._hub.later(DRAIN_SECONDS, partial(self._work_again, answer))
        else:
            self.work()

    def _ask(self, step: Step, after: After = _nothing, *, if_it_fails: Answer = _FAULT) -> None:
        self._steps.append((step, after, if_it_fails))
        if len(self._steps) > PAUSE_AT_STEPS and not self._is_paused and not self._is_lost:
            self._is_paused = True
            self._transport.pause_reading()
        self._next()

    def _next(self) -> None:
        if not self._is_busy and self._steps:
            self._is_busy = True
            step, after, if_it_fails = self._steps.popleft()
            self._hub.run(self.conversation, step, partial(self._settle, after), if_it_fails)

    def _settle(self, after: After, answer: Answer) -> None:
        """A step was done: say its words, and go on with the next."""
        self._is_busy = False
        self._say(answer)
        after(answer)
        if self._is_paused and len(self._steps) <= RESUME_AT_STEPS and not self._is_lost:
            self._is_paused = False
            self._transport.resume_reading()
        self._next()

    def _work(self) -> Answer:
        self._has_work = False
        return [] if self._is_lost else self.conversation.work()

    def _end(self) -> Answer:
        self.conversation.closed()
        return []

    def _hear(self, event: Event) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._gather(event)
        elif isinstance(event, Ping):
            self._reply(event.response())
        elif isinstance(event, Pong):
            self._awaits_pong = False
            self.conversation.alive()
        elif isinstance(event, CloseConnection):
            self._part(event)

    def _gather(self, event: TextMessage | BytesMessage) -> None:
        """Puts the pieces of a message together, which are all texts or all bytes."""
        piece = event.data if isinstance(event, TextMessage) else bytes(event.data)
        size = len(piece.encode() if isinstance(piece, str) else piece)
        if self._is_closing or not self._count(size, event.message_finished):
            return
        self._message.append(piece)
        if event.message_finished:
            message = piece[:0].join(self._message)  # type: ignore[arg-type]
            self._message.clear()
            self._ask(partial(self.conversation.received, message))

    def _count(self, size: int, is_whole: bool) -> bool:
        self._message_bytes += size
        is_fitting = self._message_bytes <= MOST_MESSAGE_BYTES
        if not is_fitting and not self._is_closing:
            self._message.clear()
            self._say([self.conversation.kind.too_big])
        if is_whole:
            self._message_bytes = 0
        return is_fitting

    def _part(self, event: CloseConnection) -> None:
        """The client said goodbye, or broke the protocol, or answered our goodbye."""
        if self._wire.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._reply(event.response())
        self._drop()

    def _reply(self, event: Event) -> None:
        try:
            self._transport.write(self._wire.send(event))
        except LocalProtocolError:
            # Our goodbye was sent before.
            return

    def _say(self, answer: Answer) -> None:
        for words in answer:
            if self._is_closing or self._is_lost:
                return
            if isinstance(words, Close):
                self._say_goodbye(words)
            elif isinstance(words, Drop):
                self._drop()
            else:
                self._transport.write(self._wire.send(TextMessage(data=words)))

    def _say_goodbye(self, words: Close) -> None:
        self._transport.write(self._wire.send(CloseConnection(words.code, words.reason or None)))
        self._is_open = False
        self._is_closing = True
        self._hub.later(GOODBYE_SECONDS, self.abort)

    def _drop(self) -> None:
        self._is_open = False
        self._is_closing = True
        self._transport.close()
