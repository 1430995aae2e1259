"""The hub: one event loop per process that holds all WebSockets, so that a waiting client costs no thread.

Rows are the queue: the hub looks for work when the doorbell rings and once a second anyway, with one query for all
conversations of a kind. Its threads start with the first socket, in the process that serves.
"""

import asyncio
import atexit
import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial

from wsproto.connection import Connection as Wire
from wsproto.connection import ConnectionType
from wsproto.events import TextMessage

from ..store import outages
from ..store.db import Database
from .connection import After, Connection, Step
from .conversation import Answer, Conversation, Kind
from .wakeup import Doorbell, doorbell

THREADS = 4
LOOK_SECONDS = 1.0
BREATH_SECONDS = 0.05
INSPECT_SECONDS = 5.0
TURNS = 25
TURN_SECONDS = 1.0
STOP_SECONDS = 3.0

_LOG = logging.getLogger("smsgw.live")


class Hub:
    """All sockets of this process. Only `is_full`, `adopt`, `stop`, `close` and `count` are for other threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(THREADS, "smsgw-live")
        self._rooms: dict[Kind, dict[Conversation, Connection]] = {}
        self._by_key: dict[tuple[Kind, str], set[Connection]] = defaultdict(set)
        self._rounds: list[set[Connection]] = [set() for _ in range(TURNS)]
        self._adopted = 0
        self._running = 0
        self._inspected_at = 0.0
        self._threads: list[threading.Thread] = []

    @property
    def is_stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stopped.is_set()

    @property
    def count(self) -> int:
        """How many sockets there are."""
        return sum(len(room) for room in list(self._rooms.values()))

    def is_full(self, conversation: Conversation) -> bool:
        """Whether the conversation's key has as many sockets in this process as it may have."""
        most, key = conversation.kind.most, (conversation.kind, conversation.key)
        return most is not None and len(self._by_key.get(key, ())) >= most

    def adopt(self, client: socket.socket, conversation: Conversation) -> None:
        """Takes a connected socket whose handshake was answered; from now on it is the hub's."""
        self._start()
        if self._stopped.is_set():
            client.close()
        else:
            self._tell(partial(self._take, client, conversation))

    def stop(self) -> None:
        """Says farewell to all and lets go of them. Returns at once: it may be called by a signal's handler."""
        if not self._stopped.is_set():
            self._stopped.set()
            self._tell(self._part)

    def close(self) -> None:
        """Stops and waits until what was heard is done."""
        self.stop()
        for thread in self._threads:
            thread.join(2 * STOP_SECONDS)

    # What follows runs on the loop, or is said to run elsewhere.

    def add(self, connection: Connection) -> None:
        """A connection has begun."""
        conversation = connection.conversation
        if conversation.kind not in self._rooms:
            self._rooms[conversation.kind] = {}
            self._begin_beat(conversation.kind)
        self._rooms[conversation.kind][conversation] = connection
        self._by_key[conversation.kind, conversation.key].add(connection)
        self._rounds[self._adopted % TURNS].add(connection)
        self._adopted += 1

    def remove(self, connection: Connection) -> None:
        """A connection has ended."""
        conversation = connection.conversation
        self._rooms[conversation.kind].pop(conversation, None)
        mates = self._by_key[conversation.kind, conversation.key]
        mates.discard(connection)
        if not mates:
            del self._by_key[conversation.kind, conversation.key]
        for others in self._rounds:
            others.discard(connection)

    def nudge_others(self, connection: Connection) -> None:
        """A connection has opened: others of the same key may have become unwelcome by that."""
        conversation = connection.conversation
        for other in list(self._by_key.get((conversation.kind, conversation.key), ())):
            if other is not connection:
                other.work()

    def run(
        self, conversation: Conversation, step: Step, after: After, if_it_fails: Answer
    ) -> None:
        """Has a thread of the pool do a step of a conversation, and does what follows back on the loop."""
        try:
            self._pool.submit(self._do, conversation, step, after, if_it_fails)
        except RuntimeError:
            # The process is ending.
            return
        self._running += 1

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Does something in a while."""
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
            _note(error, f"a step of {conversation.kind.name} {conversation.key} failed")
        self._tell(partial(self._done, after, answer))

    def _done(self, after: After, answer: Answer) -> None:
        self._running -= 1
        after(answer)

    def _tell(self, act: Callable[[], None]) -> None:
        if self._loop is None:
            return
        try:
            # In a context of its own, or each socket would keep the request alive that it came with.
            self._loop.call_soon_threadsafe(act, context=Context())
        except RuntimeError:
            # The loop has ended before this thread did.
            return

    def _start(self) -> None:
        with self._starting:
            if self._loop is not None:
                return
            self._loop = asyncio.new_event_loop()
            for target in (self._serve, self._watch):
                thread = threading.Thread(target=target, name="smsgw-hub", daemon=True)
                thread.start()
                self._threads.append(thread)
            atexit.register(self.close)

    def _serve(self) -> None:
        """Runs in a thread of its own: the loop."""
        assert self._loop is not None
        self._loop.call_later(TURN_SECONDS, self._check, 0)
        self._loop.run_forever()
        self._loop.close()

    def _take(self, client: socket.socket, conversation: Conversation) -> None:
        assert self._loop is not None
        if self._stopped.is_set():
            client.close()
            return
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(partial(Connection, self, conversation), client)
        )
        task.add_done_callback(_note_failure)

    def _begin_beat(self, kind: Kind) -> None:
        if kind.beat is not None:
            self.later(kind.beat_seconds, partial(self._beat, kind))

    def _beat(self, kind: Kind) -> None:
        assert kind.beat is not None
        assert self._loop is not None
        started = self._loop.time()
        frame = Wire(ConnectionType.SERVER).send(TextMessage(data=kind.beat()))
        for connection in list(self._rooms[kind].values()):
            connection.beat(frame)
        self.later(
            max(0.1, started + kind.beat_seconds - self._loop.time()), partial(self._beat, kind)
        )

    def _check(self, turn: int) -> None:
        """Each second pings those whose turn it is, so that everyone's comes once in 25."""
        for connection in list(self._rounds[turn]):
            connection.check()
        self.later(TURN_SECONDS, partial(self._check, (turn + 1) % TURNS))

    def _part(self) -> None:
        for room in self._rooms.values():
            for connection in list(room.values()):
                connection.farewell()
        assert self._loop is not None
        self.later(BREATH_SECONDS, partial(self._end, self._loop.time() + STOP_SECONDS))

    def _end(self, deadline: float) -> None:
        """Ends the loop when everything that was heard is done."""
        assert self._loop is not None
        if self._running and self._loop.time() < deadline:
            self.later(BREATH_SECONDS, partial(self._end, deadline))
        else:
            self._loop.stop()

    def _watch(self) -> None:
        """Runs in a thread of its own: waits for hints and looks for work."""
        bell = doorbell(self._database, self._stopped)
        while not self._stopped.is_set():
            self._watch_once(bell)
            self._stopped.wait(BREATH_SECONDS)
        bell.close()

    def _watch_once(self, bell: Doorbell) -> None:
        try:
            bell.wait(LOOK_SECONDS)
            if not self._stopped.is_set():
                self._look()
        except Exception as error:
            _note(error, "looking for work failed")
            self._stopped.wait(LOOK_SECONDS)

    def _look(self) -> None:
        moment = time.monotonic()
        is_time = moment - self._inspected_at >= INSPECT_SECONDS
        if is_time:
            self._inspected_at = moment
        for kind, room in list(self._rooms.items()):
            conversations = list(room)
            if not conversations:
                continue
            wanted = list(kind.look(self._database, conversations))
            if is_time and kind.inspect is not None:
                wanted += kind.inspect(self._database, conversations)
            if wanted:
                self._tell(partial(self._call_to_work, kind, wanted))

    def _call_to_work(self, kind: Kind, conversations: Sequence[Conversation]) -> None:
        room = self._rooms[kind]
        for conversation in conversations:
            if conversation in room:
                room[conversation].work()


def _note(error: Exception, what: str) -> None:
    if outages.is_outage(error):
        outages.log.note(error)
    else:
        _LOG.error("%s", what, exc_info=error)


def _note_failure(task: "asyncio.Task[object]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.warning("a socket could not be taken: %s", type(task.exception()).__name__)
