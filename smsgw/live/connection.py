"""Reads and writes one client's frames on the hub's loop, and runs the steps of its conversation in the hub's pool."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from wsproto.connection import Connection as WsConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from .conversation import Answer, Close, Conversation, Drop
from .line import Line
from .pieces import Pieces, TooBig

if TYPE_CHECKING:
    from .hub import Hub

MOST_UNREAD_BYTES = 256 * 1024
CLOSE_SECONDS = 5.0
DRAIN_SECONDS = 0.05
PAUSE_AT_STEPS = 64
RESUME_AT_STEPS = 16

Step = Callable[[], Answer]
After = Callable[[Answer], None]

# The answer of a step that failed: the client reconnects, and sends again what was lost.
_FAULT: Answer = [Drop()]


def _nothing(_answer: Answer) -> None:
    """Do nothing."""


class SocketConnection(asyncio.Protocol):
    """One client's WebSocket. Runs on the hub's loop, and the steps of its conversation in the pool, one at a time."""

    __slots__ = (
        "_has_work",
        "_hub",
        "_is_busy",
        "_is_closing",
        "_is_lost",
        "_is_open",
        "_is_paused",
        "_line",
        "_pieces",
        "_steps",
        "_transport",
        "_works_when_live",
        "_ws",
        "conversation",
    )

    def __init__(self, hub: "Hub", conversation: Conversation) -> None:
        self.conversation = conversation
        self._hub = hub
        self._ws = WsConnection(ConnectionType.SERVER)
        self._transport: Any = None
        self._line = Line()
        self._steps: deque[tuple[Step, After, Answer]] = deque()
        self._pieces = Pieces()
        self._is_open = self._is_closing = self._is_lost = False
        self._is_busy = self._is_paused = self._has_work = self._works_when_live = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the conversation; the answer to the handshake is sent already."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=MOST_UNREAD_BYTES)
        self._hub.add(self)
        self._ask(self.conversation.opened, self._open)

    def data_received(self, data: bytes) -> None:
        """Handle bytes of the client."""
        if self._is_lost or self._ws.state is ConnectionState.CLOSED:
            return
        self._line.note_received()
        self._ws.receive_data(data)
        for event in self._ws.events():
            self._handle(event)
        if self._works_when_live:
            self._works_when_live = False
            self._ask_for_work()

    def pause_writing(self) -> None:
        """Drop a client that does not read what it is sent."""
        self.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """End the conversation after everything that the client sent before is handled."""
        self._is_lost = True
        self._hub.remove(self)
        if not self._hub.is_stopping:
            self._ask(self._end)

    def work(self) -> None:
        """Call the conversation's `work()`, unless that is queued already; first ping a client that was silent."""
        if self.conversation.kind.needs_live_line and not self._line.is_live:
            self._works_when_live = True
            self._ping()
        else:
            self._ask_for_work()

    def heartbeat(self, frame: bytes) -> None:
        """Send a frame that was made for all connections."""
        if self._is_open:
            self._transport.write(frame)

    def check(self) -> None:
        """Ping the client; drop it where it has not answered the last ping."""
        if self._is_closing or self._is_paused:
            return
        if self._line.is_dead:
            self.abort()
        else:
            self._ping()

    def last_messages(self) -> None:
        """Send the last messages, and end without a Close frame: a client that sees a fault reconnects soonest."""
        if self._is_open:
            self._send(self.conversation.last_messages())
        self._drop()

    def abort(self) -> None:
        """End the connection at once."""
        self._is_open = False
        self._is_closing = True
        self._transport.abort()

    def _ask_for_work(self) -> None:
        if self._is_open and not self._has_work:
            self._has_work = True
            self._ask(self._work, self._work_again, if_it_fails=[])

    def _ping(self) -> None:
        """Ping the client, unless it has yet to answer a ping."""
        if not self._is_closing and self._line.note_ping():
            self._transport.write(self._ws.send(Ping()))

    def _open(self, _answer: Answer) -> None:
        self._is_open = not self._is_closing and not self._is_lost
        self._hub.wake_others(self)

    def _work_again(self, answer: Answer) -> None:
        """Call `work()` again after an answer, once the client has read it: there may be more."""
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
        """Send the answer of a finished step, and go on with the next."""
        self._is_busy = False
        self._send(answer)
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

    def _handle(self, event: Event) -> None:
        if isinstance(event, TextMessage | BytesMessage):
            self._collect(event)
        elif isinstance(event, Ping):
            self._reply(event.response())
        elif isinstance(event, Pong):
            self._line.note_pong()
            self.conversation.alive()
        elif isinstance(event, CloseConnection):
            self._handle_close(event)

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        if self._is_closing:
            return
        try:
            message = self._pieces.add(event)
        except TooBig:
            self._send([self.conversation.kind.too_big])
            return
        if message is not None:
            self._ask(partial(self.conversation.received, message))

    def _handle_close(self, event: CloseConnection) -> None:
        """End the connection: the client closed it, broke the protocol, or answered our Close frame."""
        if self._ws.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            self._reply(event.response())
        self._drop()

    def _reply(self, event: Event) -> None:
        try:
            self._transport.write(self._ws.send(event))
        except LocalProtocolError:
            # Our Close frame was sent before.
            return

    def _send(self, answer: Answer) -> None:
        for part in answer:
            if self._is_closing or self._is_lost:
                return
            if isinstance(part, Close):
                self._send_close(part)
            elif isinstance(part, Drop):
                self._drop()
            else:
                self._transport.write(self._ws.send(TextMessage(data=part)))

    def _send_close(self, part: Close) -> None:
        self._transport.write(self._ws.send(CloseConnection(part.code, part.reason or None)))
        self._is_open = False
        self._is_closing = True
        self._hub.later(CLOSE_SECONDS, self.abort)

    def _drop(self) -> None:
        self._is_open = False
        self._is_closing = True
        self._transport.close()
