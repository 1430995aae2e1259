"""`python -m smsgw …`."""

from . import program
from .cli import crms, devices, doctor, messages, quarantine, serve, setup, transfer, webhooks
from .cli.entry import root

# Importing them adds their commands.
__all__ = [
    "crms",
    "devices",
    "doctor",
    "messages",
    "quarantine",
    "serve",
    "setup",
    "transfer",
    "webhooks",
]

if __name__ == "__main__":
    root(prog_name=program.line())
