"""Reading a request's body whole, unpacked and bounded, and packing large answers."""

import gzip
import zlib

from flask import Response, request
from werkzeug.exceptions import LengthRequired, RequestEntityTooLarge, UnsupportedMediaType

from ..errors import BadRequest

PACK_ABOVE_BYTES = 1024


def refuse_unmeasured() -> None:
    """Refuses a body without a length: a chunked one would be cut at the limit without a word."""
    if request.headers.get("Transfer-Encoding"):
        raise LengthRequired("send the body with a Content-Length, not chunked")


def read(limit_bytes: int) -> bytes:
    """The body, unpacked when it is gzip; never more than `limit_bytes`, and never cut."""
    body = _read_all(limit_bytes)
    if len(body) > limit_bytes:
        raise RequestEntityTooLarge
    if request.content_length is not None and len(body) != request.content_length:
        raise BadRequest("the body ended early", code="incomplete_body")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMediaType(f"the content encoding {encoding[:40]!r} is not understood")
    return _unpack(body, limit_bytes)


def _read_all(limit_bytes: int) -> bytes:
    length = request.content_length
    if length is None or length > limit_bytes:
        return request.get_data(cache=False)
    # Werkzeug's own way takes as long as looking the device up.
    try:
        body: bytes = request.environ["wsgi.input"].read(length)
    except OSError:  # the receive timeout of the listening socket, or a broken line
        raise BadRequest("the body ended early", code="incomplete_body") from None
    return body


def _unpack(body: bytes, limit_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise BadRequest("the body is not gzip, although it says so", code="bad_gzip") from None
    if len(data) > limit_bytes:
        raise RequestEntityTooLarge
    if not unpacker.eof:
        raise BadRequest("the gzip body ended early", code="incomplete_body")
    return data


def pack(answer: Response) -> Response:
    """Packs an answer above 1 KiB for a caller that asked for gzip."""
    body = answer.get_data()
    if len(body) > PACK_ABOVE_BYTES and request.accept_encodings["gzip"]:
        answer.set_data(gzip.compress(body, compresslevel=5, mtime=0))
        answer.headers["Content-Encoding"] = "gzip"
        answer.vary.add("Accept-Encoding")
    return answer
