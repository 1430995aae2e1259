"""Reads the requests of one connection from the bytes received so far, without waiting for more."""

import tempfile
from io import BytesIO
from typing import IO, Any

from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import (
    InvalidHeader,
    NoMoreData,
    ObsoleteFolding,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from ..factory import MAX_BODY_BYTES
from .chunks import ChunkDecoder
from .refusals import MALFORMED, ended_early, head_too_large, malformed, no_room, too_slow

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES_IN_MEMORY = 64 * 1024

_END_OF_HEAD = b"\r\n\r\n"


class RequestReader:
    """The request that is being received. `request` is set once its head is complete, `body` once all of it is."""

    __slots__ = (
        "_cfg",
        "_chunks",
        "_count",
        "_head",
        "_is_last",
        "_left",
        "_peer",
        "_spool",
        "_tried_bytes",
        "body",
        "body_bytes",
        "is_cut",
        "request",
        "rest",
    )

    def __init__(self, cfg: Any, peer: Any) -> None:
        self._cfg = cfg
        self._peer = peer
        self._count = 0
        self.rest = b""
        self._reset()

    def _reset(self) -> None:
        self._head = b""
        self._tried_bytes = 0
        self._left = 0
        self._chunks: ChunkDecoder | None = None
        self._spool: IO[bytes] | None = None
        self.request: Any = None
        self.body: IO[bytes] | None = None
        self.body_bytes = 0
        self.is_cut = False

    @property
    def has_begun(self) -> bool:
        """Return whether a part of a request has been received."""
        return bool(self._head or self.rest) or self.request is not None

    @property
    def held_bytes(self) -> int:
        """Return how many bytes of an incomplete request are kept."""
        framing = self._chunks.held_bytes if self._chunks is not None else 0
        return len(self._head) + self.body_bytes + framing + len(self.rest)

    @property
    def waits_for_body(self) -> bool:
        """Return whether the head is complete and the body is not."""
        return self.request is not None and self.body is None

    def finish(self) -> None:
        """Drop the request that was answered. `rest`, the beginning of the next one, stays."""
        if self.body is not None:
            self.body.close()
        self._reset()

    def feed_rest(self) -> None:
        """Begin the next request with the bytes that came together with the last one."""
        rest, self.rest = self.rest, b""
        if rest:
            self.feed(rest)

    def feed(self, received: bytes) -> None:
        """Take bytes from the client. Raises `Refusal` where they are not a valid request."""
        try:
            self._feed(received)
        except MALFORMED as error:
            raise malformed(error) from None
        except OSError:
            raise no_room() from None

    def fail(self, is_late: bool) -> None:
        """Raise the refusal of an incomplete request of which nothing more will come, if there is one."""
        if self.has_begun and is_late:
            raise too_slow()
        if self.request is not None:
            raise ended_early()

    def abandon(self) -> None:
        """Drop everything: what the client sends from now on is no request."""
        self.finish()
        self.rest = b""

    def drop_body(self) -> None:
        """Drop what was kept of the body, in memory or on the disk."""
        for file in (self._spool, self.body):
            if file is not None:
                file.close()

    def _feed(self, received: bytes) -> None:
        if self.request is None:
            self._head += received
            if not self._parse_head():
                return
            received = self.rest
            self.rest = b""
            self._begin_body()
        if self.body is None:
            self._take_body(received)
        else:
            self.rest += received

    def _parse_head(self) -> bool:
        """Parse the head once it is complete; an invalid one is refused as early as possible."""
        head = self._head
        end = head.find(_END_OF_HEAD, max(0, self._tried_bytes - 3))
        if (len(head) if end < 0 else end) > MAX_HEAD_BYTES:
            raise head_too_large()
        if end < 0 and len(head) < 2 * self._tried_bytes:
            return False
        _refuse_odd_lines(head[: end + 2] if end >= 0 else head)
        self._tried_bytes = len(head)
        source = _ReceivedBytes(head)
        try:
            self.request = Request(self._cfg, source, self._peer, self._count + 1)
        except NoMoreData:
            return False
        self._count += 1
        self.rest = source.take_buffered()
        self._head = b""
        return True

    def _begin_body(self) -> None:
        reader = self.request.body.reader
        if isinstance(reader, ChunkedReader):
            _refuse_other_codings(self.request)
            self._chunks = ChunkDecoder(self.request)
        elif isinstance(reader, LengthReader):
            self._left = reader.length
            if self._left > MAX_BODY_BYTES:
                self._cut(self._left)
            elif not self._left:
                self.body = BytesIO()

    def _take_body(self, received: bytes) -> None:
        if self._chunks is not None:
            self._take_chunks(self._chunks, received)
        elif len(received) >= self._left and self._spool is None:
            self.rest = received[self._left :]
            self.body_bytes = self._left
            self.body = BytesIO(received[: self._left])
        else:
            self._keep(received[: self._left])
            self.rest = received[self._left :]
            self._left -= len(received) - len(self.rest)
            if not self._left:
                self._complete()

    def _take_chunks(self, chunks: ChunkDecoder, received: bytes) -> None:
        self._keep(chunks.feed(received))
        if self.body_bytes > MAX_BODY_BYTES:
            self._cut(self.body_bytes)
        elif chunks.is_complete:
            self.rest = chunks.rest
            self._complete()

    def _keep(self, piece: bytes) -> None:
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(MAX_BODY_BYTES_IN_MEMORY)  # noqa: SIM115
        self._spool.write(piece)
        self.body_bytes += len(piece)

    def _complete(self) -> None:
        assert self._spool is not None
        self._spool.seek(0)
        self.body, self._spool = self._spool, None

    def _cut(self, length: int) -> None:
        """Show the application only the body's length, which it refuses without reading the body."""
        self.is_cut = True
        self.body_bytes = length
        self.body = BytesIO()

    def amend(self, environ: dict[str, Any]) -> None:
        """Give the application the body with a known length, also if it came in chunks."""
        environ["wsgi.input"] = self.body
        if self._chunks is not None:
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(self.body_bytes)


def _refuse_odd_lines(head: bytes) -> None:
    """Refuse what gunicorn's C parser takes: lines without CR, and folded headers, which it reads as nameless ones."""
    if head.count(b"\n") != head.count(b"\r\n"):
        raise InvalidHeader("bare LF as line terminator")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise ObsoleteFolding("a header")


def _refuse_other_codings(request: Any) -> None:
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING" and value.lower() != "chunked":
            raise UnsupportedTransferCoding(value)


class _ReceivedBytes(Unreader):  # type: ignore[misc]
    """The bytes received so far, for gunicorn's parser."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.buf.write(data)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return nothing: there are no more bytes at the moment."""
        return b""
