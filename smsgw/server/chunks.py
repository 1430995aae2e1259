"""Decodes chunked bodies (RFC 9112 7.1) piece by piece, as strictly as gunicorn's own blocking reader."""

from collections.abc import Callable
from typing import Any

from gunicorn.http.body import CHUNK_EXT_RE
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
    InvalidHeader,
    LimitRequestHeaders,
)

MAX_SIZE_LINE_BYTES = 1024
MAX_SIZE_DIGITS = 16
MAX_TRAILER_BYTES = 16 * 1024
# A body in chunks of one byte would cost seconds of processor time: this much framing is free, then a share of it.
FREE_FRAMING_BYTES = 256 * 1024
FRAMING_SHARE = 4

_HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class ChunkDecoder:
    """One chunked body. `rest` is what followed it on the connection, once `is_complete`."""

    def __init__(self, request: Any) -> None:
        self.is_complete = False
        self._request = request
        self._buffer = bytearray()
        self._left_in_chunk = 0
        self._framing_bytes = 0
        self._data_bytes = 0
        self._step: Callable[[], bytes | None] = self._read_size

    @property
    def held_bytes(self) -> int:
        """Return how many bytes are not decoded yet."""
        return len(self._buffer)

    @property
    def rest(self) -> bytes:
        """Return the bytes that are not decoded yet."""
        return bytes(self._buffer)

    def feed(self, received: bytes) -> bytes:
        """Return the data in these bytes, without framing; raise gunicorn's error where they break the rules."""
        self._buffer += received
        pieces = []
        while not self.is_complete and (piece := self._step()) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    def _read_size(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, MAX_SIZE_LINE_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_SIZE_LINE_BYTES or b"\n" in self._buffer:
                raise InvalidChunkSize(b"a line without an end")
            return None
        self._left_in_chunk = _parse_size(bytes(self._buffer[:end]))
        self._drop_framing(end + 2)
        self._step = self._read_data if self._left_in_chunk else self._read_trailers
        return b""

    def _read_data(self) -> bytes | None:
        if not self._buffer:
            return None
        piece = bytes(self._buffer[: self._left_in_chunk])
        del self._buffer[: len(piece)]
        self._left_in_chunk -= len(piece)
        self._data_bytes += len(piece)
        if not self._left_in_chunk:
            self._step = self._read_end_of_data
        return piece

    def _read_end_of_data(self) -> bytes | None:
        if not b"\r\n".startswith(self._buffer[:2]):
            raise ChunkMissingTerminator(bytes(self._buffer[:2]))
        if len(self._buffer) < 2:
            return None
        self._drop_framing(2)
        self._step = self._read_size
        return b""

    def _read_trailers(self) -> bytes | None:
        """Check the trailer fields and drop them: the application uses none."""
        if self._buffer.startswith(b"\r\n"):
            return self._finish(2)
        end = self._buffer.find(b"\r\n\r\n")
        if max(end, 0) > MAX_TRAILER_BYTES or (end < 0 and len(self._buffer) > MAX_TRAILER_BYTES):
            raise LimitRequestHeaders("the trailers are too long")
        if end < 0:
            if self._buffer.count(b"\n") != self._buffer.count(b"\r\n"):
                raise InvalidHeader("bare LF as line terminator")
            return None
        self._request.parse_headers(bytes(self._buffer[:end]), from_trailer=True)
        return self._finish(end + 4)

    def _finish(self, count: int) -> bytes:
        del self._buffer[:count]
        self.is_complete = True
        return b""

    def _drop_framing(self, count: int) -> None:
        del self._buffer[:count]
        self._framing_bytes += count
        if self._framing_bytes > FREE_FRAMING_BYTES + self._data_bytes // FRAMING_SHARE:
            raise InvalidChunkSize(b"the chunks are too small")


def _parse_size(line: bytes) -> int:
    digits, semicolon, extension = line.partition(b";")
    if semicolon:
        digits = digits.rstrip(b" \t")
    if not digits or len(digits) > MAX_SIZE_DIGITS or not _HEX_DIGITS.issuperset(digits):
        raise InvalidChunkSize(line[:40])
    if semicolon and not CHUNK_EXT_RE.fullmatch(b";" + extension):
        raise InvalidChunkExtension("invalid chunk extension")
    return int(digits, 16)
