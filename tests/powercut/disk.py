"""Files on a disk that keeps what was synced, rebuilt from what the recorder wrote down."""

import random
from collections.abc import Iterator

from .program import HEADER

SECTOR = 512
Write = tuple[str, int, bytes]


def records(log: bytes) -> Iterator[tuple[str, int, int, int, bytes]]:
    """The records of a log, in their order: kind, file, thread, offset, data."""
    at = 0
    while at < len(log):
        kind, file, thread, offset, length = HEADER.unpack_from(log, at)
        at += HEADER.size
        yield kind.decode(), file[0], thread, offset, log[at : at + length]
        at += length


class File:
    """What of a file is on the disk, and what was written since and may be lost."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.synced = bytearray()
        self.unsynced: list[Write] = []
        self.exists = False
        self._begun: dict[int, int] = {}

    def apply(self, kind: str, thread: int, offset: int, data: bytes) -> None:
        """Takes over one record."""
        if kind in "WT":
            self.exists = True
            self.unsynced.append((kind, offset, data))
        elif kind == "B":
            self._begun[thread] = len(self.unsynced)
        elif kind == "E":
            self._keep(self._begun.pop(thread))
        elif kind == "F":
            # The kernel writes these pages no second time, and what of them has reached the disk nobody knows.
            self.synced = self.after(self.torn() if self._chance.random() < 0.5 else self.unsynced)
            self.unsynced = []
            self._begun.clear()
        elif kind == "U":
            self.__init__(self._chance)  # type: ignore[misc]

    def _keep(self, count: int) -> None:
        count = min(count, len(self.unsynced))
        self.synced = self.after(self.unsynced[:count])
        del self.unsynced[:count]
        self._begun = {thread: max(0, begun - count) for thread, begun in self._begun.items()}

    def after(self, writes: list[Write]) -> bytearray:
        """The content with these writes on the disk too."""
        content = bytearray(self.synced)
        for kind, offset, data in writes:
            content.extend(bytes(max(0, offset - len(content))))
            if kind == "T":
                del content[offset:]
            else:
                content[offset : offset + len(data)] = data
        return content

    def torn(self) -> list[Write]:
        """Some of what was not synced: whole, in sectors, or not at all."""
        kept: list[Write] = []
        for kind, offset, data in self.unsynced:
            fate = self._chance.choice(["lost", "whole", "torn"])
            if fate == "whole" or (kind == "T" and fate == "torn"):
                kept.append((kind, offset, data))
            elif fate == "torn":
                pieces = [
                    (offset + at, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)
                ]
                kept += [("W", at, piece) for at, piece in pieces if self._chance.random() < 0.5]
        return kept
