"""Writes log lines, as text or JSON: they name ids and never secrets, whole numbers or content."""

import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, TextIO

from .log_writer import LineWriter

# The id of the request that is being answered, as it may be shown: `redact` one that a caller has chosen.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_SECRETS = re.compile(
    r"\b(gw_live_|crm_live_|op_live_|whsec_|Basic |Bearer )[A-Za-z0-9+/=_.-]+"
    r"|(://[^\s:/@]+:)[^\s@]+(?=@)"
    r"|([?&]password=)[^\s&]+",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"(?<![\w.-])(\+?\d{2})\d{4,11}(\d{2})(?![\w-])")
_LAST_WORD = re.compile(r"[^\s/]*\Z")
# A line says what happened, not all of what somebody sent.
MOST_CHARACTERS = 4096
MOST_FIELD_CHARACTERS = 1024
MOST_TRACE_LINES = 100
# A database's own words about a failed row repeat the row; SQLAlchemy's repeat the statement's values.
_ROWS = re.compile(r"^(DETAIL|CONTEXT|\[parameters): .*$", re.MULTILINE)


class Redaction(logging.Filter):
    """Adds the request's id to a line and takes out what must not be in a log.

    A record with `is_clean` is known to have nothing of the kind in its text; its fields are looked at all the same.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not getattr(record, "is_clean", False):
            record.msg, record.args = redact(shorten(record.getMessage())), None
        record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO smsgw.access text name=value`, one line, and below it a traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line = (
            f"{_moment(record)} {record.levelname} {record.name} {_one_line(record.getMessage())}"
        )
        for name, value in _fields(record).items():
            line += f" {name}={_one_line(str(value))}"
        trace = _trace(self, record)
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, then the line's fields and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        trace = _trace(self, record)
        if trace:
            line["exception"] = trace
        return json.dumps(line, default=str)


class Lines(logging.StreamHandler[TextIO | LineWriter]):
    """Lines to stderr, which passes each one on as it ends: to flush it again would find nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def write_in_thread(self) -> None:
        """Hand lines to a thread from now on, until the process ends."""
        if not isinstance(self.stream, LineWriter):
            self.setStream(LineWriter(self.stream))

    def close(self) -> None:
        """Write what the thread still has; later lines are written at once."""
        if isinstance(self.stream, LineWriter):
            self.stream.flush()
            self.setStream(self.stream.stream)
        super().close()


def configure(log_format: str, log_level: str) -> None:
    """Send all log lines of this process to stderr; `log_format` is `text` or `json`."""
    handler = Lines(sys.stderr)
    handler.addFilter(Redaction())
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(log_level)
    # Python's own advice for speed; no line of ours shows a thread, a process or a task.
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    # Their lines are about our own plumbing, and at DEBUG they show the values of statements.
    for name in ("alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # It warns of each statement that a lost connection ends, and raises the error besides.
    logging.getLogger("psycopg").setLevel(max(logging.ERROR, root.level))


def write_in_thread() -> None:
    """Write the lines of this process in a thread, so that it never waits for whoever reads them. Call it after a fork.

    At an orderly end of the process all of them are written.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Lines):
            handler.write_in_thread()


def redact(text: str) -> str:
    """Return the text with keys and passwords replaced by `…` and only the ends of telephone numbers left."""
    text = _SECRETS.sub(
        lambda found: f"{found.group(1) or found.group(2) or found.group(3)}…", text
    )
    # A function, because a template is taken apart anew at each call, also where nothing is found.
    return _NUMBERS.sub(lambda found: f"{found.group(1)}…{found.group(2)}", text)


def shorten(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return the beginning of a long text, and how long it was; never half of a word, which `redact` might not know."""
    if len(text) <= most:
        return text
    return f"{_LAST_WORD.sub('', text[:most])}… ({len(text):,} characters)"


def _moment(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=4)
def _second(epoch_second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch_second))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller gave as `extra={"fields": {…}}`, and the request's id, without absent values."""
    fields = {
        name: redact(shorten(value, MOST_FIELD_CHARACTERS)) if isinstance(value, str) else value
        for name, value in getattr(record, "fields", {}).items()
        if value is not None
    }
    shown_id = getattr(record, "request_id", None)
    return fields if shown_id is None else {**fields, "request_id": shown_id}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    lines = formatter.formatException(record.exc_info).splitlines()
    if len(lines) > MOST_TRACE_LINES:
        half = MOST_TRACE_LINES // 2
        lines[half:-half] = [f"… ({len(lines) - 2 * half:,} lines)"]
    trace = "\n".join(shorten(line) for line in lines)
    return redact(_ROWS.sub(r"\1: …", trace))


def _one_line(text: str) -> str:
    """Return the text without line breaks and control characters, so that nobody can forge log lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
