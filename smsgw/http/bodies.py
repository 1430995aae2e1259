"""Reads and decompresses request bodies up to a limit, and compresses large answers."""

import gzip
import zlib
from collections.abc import Callable
from typing import Any

from flask import Request, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import LengthRequired, RequestEntityTooLarge, UnsupportedMediaType

from .. import json_reader
from ..errors import BadRequest, Invalid
from . import json_limits
from .context import current_request

PACK_ABOVE_BYTES = 1024

Reader = Callable[[bytes], Any]
MOST_GZIP_MEMBERS = 100
_PIECE_BYTES = 64 * 1024


def read(limit_bytes: int) -> bytes:
    """Return the complete body, decompressed if it is gzip; raise an error if it is longer than `limit_bytes`."""
    asking = current_request()
    body = _read_all(asking, limit_bytes)
    encoding = asking.environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("identity", ""):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise UnsupportedMediaType(f"unsupported content encoding {encoding[:40]!r}")
    return _unpack(body, limit_bytes)


def form(limit_bytes: int) -> MultiDict[str, str]:
    """Return the fields of an HTML form; raise an error if the body is longer than `limit_bytes`."""
    asking = current_request()
    asking.max_content_length = asking.max_form_memory_size = limit_bytes
    found: MultiDict[str, str] = asking.form
    return found


def file(name: str, limit_bytes: int) -> tuple[str, bytes] | None:
    """Return the name and the content of a form's file; raise an error if the body is longer than `limit_bytes`."""
    form(limit_bytes)
    sent = current_request().files.get(name)
    return None if sent is None or not sent.filename else (sent.filename, sent.read())


def has_file(limit_bytes: int) -> bool:
    """Return whether a form has a file; raise an error if the body is longer than `limit_bytes`."""
    form(limit_bytes)
    return any(sent.filename for sent in current_request().files.values())


def parse(body: bytes, read_json: Reader = json_reader.read) -> Any:
    """Return the JSON in the body, whatever its content type; `BadRequest` names the place of an error."""
    json_limits.check(body)
    return _parsed(body, read_json)


def parse_object(body: bytes, read_json: Reader = json_reader.read) -> dict[str, Any]:
    """Return the JSON object in the body; raise `BadRequest` for anything else."""
    return _as_object(parse(body, read_json))


def parse_phones_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a phone, without limits on its values: a phone repeats a refused body endlessly."""
    return _as_object(_parsed(body, json_reader.read_tolerantly))


def text(body: dict[str, Any], name: str) -> str:
    """Return a required text of a body. Raises `Invalid` for anything else."""
    found = body.get(name)
    if not isinstance(found, str) or not found.strip():
        fault = f"{name} is required and must be a text"
        raise Invalid(fault, details={name: [fault]})
    return found


def optional_text(body: dict[str, Any], name: str) -> str | None:
    """Return a text that may be missing or null. Raises `Invalid` for anything else."""
    return None if body.get(name) is None else text(body, name)


def pack(answer: Response) -> Response:
    """Compress an answer of more than 1 KiB if the caller accepts gzip."""
    if "HTTP_ACCEPT_ENCODING" not in current_request().environ:
        return answer
    body = answer.get_data()
    if len(body) > PACK_ABOVE_BYTES and request.accept_encodings["gzip"]:
        answer.set_data(gzip.compress(body, compresslevel=5, mtime=0))
        answer.headers["Content-Encoding"] = "gzip"
        answer.vary.add("Accept-Encoding")
    return answer


def _parsed(body: bytes, read_json: Reader) -> Any:
    try:
        return read_json(body)
    except json_reader.InvalidJson as error:
        raise BadRequest(str(error), code="bad_json") from None


def _as_object(parsed: Any) -> dict[str, Any]:
    if not isinstance(parsed, dict):
        text = f"the body must be a JSON object, not {json_reader.kind(parsed)}"
        raise BadRequest(text, code="bad_json")
    return parsed


def _read_all(asking: Request, limit_bytes: int) -> bytes:
    length = _length(asking)
    if length is not None and length > limit_bytes:
        raise RequestEntityTooLarge
    try:
        # Werkzeug's own way takes as long as finding the device.
        body: bytes = asking.environ["wsgi.input"].read(
            limit_bytes + 1 if length is None else length
        )
    except OSError:
        raise BadRequest("the body ended early", code="incomplete_body") from None
    if len(body) > limit_bytes:
        raise RequestEntityTooLarge
    if length is not None and len(body) != length:
        raise BadRequest("the body ended early", code="incomplete_body")
    return body


def _length(asking: Request) -> int | None:
    """Return the body's length, `None` for a chunked body; our own web server passes no chunked bodies on."""
    if "HTTP_TRANSFER_ENCODING" not in asking.environ:
        said = asking.environ.get("CONTENT_LENGTH", "")
        return int(said) if said.isdecimal() else asking.content_length or 0
    if not asking.environ.get("wsgi.input_terminated"):
        raise LengthRequired("send the body with a Content-Length, not chunked")
    return None


def _unpack(body: bytes, limit_bytes: int) -> bytes:
    """Decompress all members of a gzip file (RFC 1952, 2.2) in time linear in its length."""
    parts: list[bytes] = []
    size = start = 0
    for _ in range(MOST_GZIP_MEMBERS + 1):
        if start == len(body):
            return b"".join(parts)
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while start < len(body) and not unpacker.eof:
            # In pieces, because the data after the end of a member is copied.
            piece = body[start : start + _PIECE_BYTES]
            parts.append(_inflate(unpacker, piece, limit_bytes + 1 - size))
            size += len(parts[-1])
            if size > limit_bytes:
                raise RequestEntityTooLarge
            start += len(piece) - len(unpacker.unused_data)
        if not unpacker.eof:
            raise BadRequest("the gzip body ended early", code="incomplete_body")
    raise BadRequest(f"the gzip body has more than {MOST_GZIP_MEMBERS} members", code="bad_gzip")


def _inflate(unpacker: "zlib._Decompress", piece: bytes, most: int) -> bytes:
    try:
        return unpacker.decompress(piece, most)
    except zlib.error:
        raise BadRequest(
            "the body is not gzip, but its Content-Encoding is", code="bad_gzip"
        ) from None
