"""Serves all WebSockets of a process in one event loop, so that a waiting client costs no thread.

Rows are the queue: a second thread looks for work (`watcher`), and a small pool of threads does it. The threads start
with the first socket, in the process that serves.
"""

import asyncio
import atexit
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial

from wsproto.connection import Connection as WsConnection
from wsproto.connection import ConnectionType
from wsproto.events import TextMessage

from ..store import outages
from ..store.db import Database
from .connection import After, SocketConnection, Step
from .conversation import Answer, Conversation, Kind
from .open_connections import PING_SLOTS, OpenConnections
from .watcher import Watcher

THREADS = 4
PING_SLOT_SECONDS = 1.0
STOP_SECONDS = 3.0
# How often an ending hub checks whether its pool has finished.
END_CHECK_SECONDS = 0.05

_LOG = logging.getLogger("smsgw.live")


class Hub:
    """All sockets of this process. Only `is_full`, `adopt`, `stop`, `close` and `count` are for other threads."""

    def __init__(self, database: Database) -> None:
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(THREADS, "smsgw-live")
        self._connections = OpenConnections()
        self._watcher = Watcher(database, self._connections, self._stopped, self._wake)
        self._running = 0
        self._threads: list[threading.Thread] = []

    @property
    def is_stopping(self) -> bool:
        """Return whether the hub is stopping."""
        return self._stopped.is_set()

    @property
    def count(self) -> int:
        """Return the number of open sockets."""
        return self._connections.count

    def is_full(self, conversation: Conversation) -> bool:
        """Return whether the conversation's key has as many sockets in this process as it may have."""
        return self._connections.is_full(conversation)

    def adopt(self, client: socket.socket, conversation: Conversation) -> None:
        """Take over a connected socket whose handshake was answered."""
        self._start()
        if self._stopped.is_set():
            client.close()
        else:
            self._call_on_loop(partial(self._connect, client, conversation))

    def stop(self) -> None:
        """Send every client its last messages and drop it. Returns at once: a signal handler may call it."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._call_on_loop(self._stop_all)

    def close(self) -> None:
        """Stop, and wait until everything that was received is done."""
        self.stop()
        for thread in self._threads:
            thread.join(2 * STOP_SECONDS)

    # The methods below run on the loop, unless their docstring names another thread.

    def add(self, connection: SocketConnection) -> None:
        """Add a connection that has opened."""
        kind = connection.conversation.kind
        if not self._connections.has_had(kind):
            self._begin_heartbeats(kind)
        self._connections.add(connection)

    def remove(self, connection: SocketConnection) -> None:
        """Remove a connection that has ended."""
        self._connections.remove(connection)

    def wake_others(self, connection: SocketConnection) -> None:
        """Let the other connections of the same key check whether this new one replaces them."""
        for other in self._connections.others(connection):
            other.work()

    def run(
        self, conversation: Conversation, step: Step, after: After, if_it_fails: Answer
    ) -> None:
        """Run a step of a conversation in the pool, and then `after` on the loop."""
        try:
            self._pool.submit(self._do, conversation, step, after, if_it_fails)
        except RuntimeError:
            # The process is ending.
            return
        self._running += 1

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` on the loop after this time."""
        assert self._loop is not None
        self._loop.call_later(seconds, act)

    def _do(
        self, conversation: Conversation, step: Step, after: After, if_it_fails: Answer
    ) -> None:
        """Runs in the pool."""
        try:
            answer = step()
        except Exception as error:
            answer = if_it_fails
            what = f"a step of {conversation.kind.name} {conversation.key} failed"
            outages.log_failure(error, _LOG, what)
        self._call_on_loop(partial(self._done, after, answer))

    def _done(self, after: After, answer: Answer) -> None:
        self._running -= 1
        after(answer)

    def _call_on_loop(self, act: Callable[[], None]) -> None:
        if self._loop is None:
            return
        try:
            # In a new context, or each socket would keep the request alive that it came with.
            self._loop.call_soon_threadsafe(act, context=Context())
        except RuntimeError:
            # The loop has ended before this thread did.
            return

    def _start(self) -> None:
        with self._starting:
            if self._loop is not None:
                return
            self._loop = asyncio.new_event_loop()
            for target in (self._serve, self._watcher.run):
                thread = threading.Thread(target=target, name="smsgw-hub", daemon=True)
                thread.start()
                self._threads.append(thread)
            atexit.register(self.close)

    def _serve(self) -> None:
        """Run the loop, in its thread."""
        assert self._loop is not None
        self._loop.call_later(PING_SLOT_SECONDS, self._check, 0)
        self._loop.run_forever()
        self._loop.close()

    def _connect(self, client: socket.socket, conversation: Conversation) -> None:
        assert self._loop is not None
        if self._stopped.is_set():
            client.close()
            return
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(
                partial(SocketConnection, self, conversation), client
            )
        )
        task.add_done_callback(_note_failure)

    def _begin_heartbeats(self, kind: Kind) -> None:
        if kind.heartbeat is not None:
            self.later(kind.heartbeat_seconds, partial(self._send_heartbeat, kind))

    def _send_heartbeat(self, kind: Kind) -> None:
        assert kind.heartbeat is not None
        assert self._loop is not None
        started = self._loop.time()
        frame = WsConnection(ConnectionType.SERVER).send(TextMessage(data=kind.heartbeat()))
        for connection in self._connections.of_kind(kind):
            connection.heartbeat(frame)
        self.later(
            max(0.1, started + kind.heartbeat_seconds - self._loop.time()),
            partial(self._send_heartbeat, kind),
        )

    def _check(self, slot: int) -> None:
        """Ping the connections of one slot each second, so that each connection is pinged every 25 seconds."""
        for connection in self._connections.in_ping_slot(slot):
            connection.check()
        self.later(PING_SLOT_SECONDS, partial(self._check, (slot + 1) % PING_SLOTS))

    def _stop_all(self) -> None:
        for connection in self._connections.all():
            connection.last_messages()
        assert self._loop is not None
        self.later(END_CHECK_SECONDS, partial(self._end, self._loop.time() + STOP_SECONDS))

    def _end(self, deadline: float) -> None:
        """Stop the loop when everything that was received is done."""
        assert self._loop is not None
        if self._running and self._loop.time() < deadline:
            self.later(END_CHECK_SECONDS, partial(self._end, deadline))
        else:
            self._loop.stop()

    def _wake(self, conversations: Sequence[Conversation]) -> None:
        """Let these conversations work. Runs in the watcher's thread."""
        self._call_on_loop(partial(self._work, conversations))

    def _work(self, conversations: Sequence[Conversation]) -> None:
        for connection in self._connections.of_conversations(conversations):
            connection.work()


def _note_failure(task: "asyncio.Task[object]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.warning("a socket could not be taken over: %s", type(task.exception()).__name__)
