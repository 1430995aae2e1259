"""Runs `python -m smsgw …`."""

import gc

from . import program
from .cli import (
    audit,
    crms,
    devices,
    doctor,
    messages,
    opt_outs,
    quarantine,
    serve,
    setup,
    transfer,
    webhooks,
)
from .cli.entry import root

# Importing them adds their commands.
__all__ = [
    "audit",
    "crms",
    "devices",
    "doctor",
    "messages",
    "opt_outs",
    "quarantine",
    "serve",
    "setup",
    "transfer",
    "webhooks",
]


def main() -> None:
    """Runs the command line; the console script `smsgw` begins here too."""
    # Looking through all that was imported once more would hold up the end for a quarter of a second.
    gc.freeze()
    root(prog_name=program.line())


if __name__ == "__main__":
    main()
