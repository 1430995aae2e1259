"""Keeps the open connections of a process: by protocol, by key, and by the second in which each is pinged."""

from collections import defaultdict
from collections.abc import Sequence

from .connection import SocketConnection
from .conversation import Conversation, Kind

PING_SLOTS = 25


class OpenConnections:
    """All open connections. Only the hub's loop adds and removes; any thread may ask."""

    def __init__(self) -> None:
        self._by_kind: dict[Kind, dict[Conversation, SocketConnection]] = {}
        self._by_key: dict[tuple[Kind, str], set[SocketConnection]] = defaultdict(set)
        self._ping_slots: list[set[SocketConnection]] = [set() for _ in range(PING_SLOTS)]
        self._added_count = 0

    @property
    def count(self) -> int:
        """Return the number of open connections."""
        return sum(len(connections) for connections in list(self._by_kind.values()))

    def is_full(self, conversation: Conversation) -> bool:
        """Return whether the conversation's key has as many connections in this process as it may have."""
        most, key = conversation.kind.most, (conversation.kind, conversation.key)
        return most is not None and len(self._by_key.get(key, ())) >= most

    def has_had(self, kind: Kind) -> bool:
        """Return whether a connection of this kind was ever added."""
        return kind in self._by_kind

    def add(self, connection: SocketConnection) -> None:
        """Add a connection that has opened."""
        conversation = connection.conversation
        self._by_kind.setdefault(conversation.kind, {})[conversation] = connection
        self._by_key[conversation.kind, conversation.key].add(connection)
        self._ping_slots[self._added_count % PING_SLOTS].add(connection)
        self._added_count += 1

    def remove(self, connection: SocketConnection) -> None:
        """Remove a connection that has ended."""
        conversation = connection.conversation
        self._by_kind[conversation.kind].pop(conversation, None)
        others = self._by_key[conversation.kind, conversation.key]
        others.discard(connection)
        if not others:
            del self._by_key[conversation.kind, conversation.key]
        for slot in self._ping_slots:
            slot.discard(connection)

    def all(self) -> list[SocketConnection]:
        """Return every connection."""
        return [
            connection
            for connections in list(self._by_kind.values())
            for connection in list(connections.values())
        ]

    def of_kind(self, kind: Kind) -> list[SocketConnection]:
        """Return the connections of one protocol."""
        return list(self._by_kind[kind].values())

    def of_conversations(self, conversations: Sequence[Conversation]) -> list[SocketConnection]:
        """Return the connections of these conversations, without those that have ended meanwhile."""
        found = [self._by_kind[one.kind].get(one) for one in conversations]
        return [connection for connection in found if connection is not None]

    def others(self, connection: SocketConnection) -> list[SocketConnection]:
        """Return the other connections of the same kind and key."""
        conversation = connection.conversation
        same_key = list(self._by_key.get((conversation.kind, conversation.key), ()))
        return [other for other in same_key if other is not connection]

    def in_ping_slot(self, slot: int) -> list[SocketConnection]:
        """Return the connections that are pinged in this one of `PING_SLOTS` seconds."""
        return list(self._ping_slots[slot])

    def conversations(self) -> list[tuple[Kind, list[Conversation]]]:
        """Return the open conversations of each kind that has any."""
        found = [(kind, list(connections)) for kind, connections in list(self._by_kind.items())]
        return [(kind, conversations) for kind, conversations in found if conversations]
