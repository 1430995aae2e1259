"""Joins the frames of a WebSocket message."""

from wsproto.events import BytesMessage, TextMessage

MOST_MESSAGE_BYTES = 64 * 1024


class TooBig(Exception):
    """The message has more than 64 KiB."""


class Pieces:
    """The frames so far of one message, which are all texts or all bytes."""

    __slots__ = ("_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[str | bytes] = []
        self._size = 0

    def add(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        """Return the whole message with its last frame, `None` before that. Raise `TooBig` above 64 KiB."""
        piece = event.data if isinstance(event, TextMessage) else bytes(event.data)
        self._size += len(piece.encode() if isinstance(piece, str) else piece)
        if self._size > MOST_MESSAGE_BYTES:
            self._pieces.clear()
            raise TooBig
        self._pieces.append(piece)
        if not event.message_finished:
            return None
        whole = piece[:0].join(self._pieces)  # type: ignore[arg-type]
        self._pieces.clear()
        self._size = 0
        return whole
