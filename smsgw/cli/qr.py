"""Prints the QR code that MySMSAPio's app scans, and its content as lines to copy."""

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ..lazy_imports import lazy
from . import output

if TYPE_CHECKING:
    import segno
else:
    segno = lazy("segno")

_LINES = (
    ("API Base URL", "api_base_url"),
    ("WebSocket URL", "websocket_url"),
    ("API Key", "api_key"),
)


def show(pairing: Mapping[str, str]) -> None:
    """Print the QR code, which contains the pairing as JSON, and three lines to copy below it.

    Where the terminal is too narrow for it, say so instead of printing what no app can read.
    """
    code = _of(json.dumps(pairing), output.width())
    click.echo()
    if code is None:
        click.echo(
            "This terminal is too narrow for the QR code: make it wider, or type these lines into the app."
        )
    else:
        click.echo(_drawn(code))
    for title, name in _LINES:
        output.paragraph(pairing[name], f"{title}: ")


def _of(text: str, columns: int) -> "segno.QRCode | None":
    """Return the code with the most error correction that fits: H, as of the app's own server, or less."""
    for level in ("h", "q", "m", "l"):
        code = segno.make_qr(text, error=level, boost_error=False)
        if code.symbol_size()[0] <= columns:
            return code
    return None


def _drawn(code: "segno.QRCode") -> str:
    drawing = io.StringIO()
    code.terminal(drawing, compact=True)
    return drawing.getvalue()
