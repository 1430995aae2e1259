"""Prints the QR code that MySMSAPio's app scans, and its content as lines to copy."""

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from ..lazy_imports import lazy

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
    """Print the QR code, which contains the pairing as JSON, and three lines to copy below it."""
    click.echo()
    click.echo(_drawn(json.dumps(pairing)))
    for title, name in _LINES:
        click.echo(f"{title}: {pairing[name]}")


def _drawn(text: str) -> str:
    drawing = io.StringIO()
    # Error correction H, as in the QR codes of the app's own server.
    segno.make_qr(text, error="h", boost_error=False).terminal(drawing, compact=True)
    return drawing.getvalue()
