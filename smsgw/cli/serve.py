"""Starts the server's processes: `serve` and `worker`."""

import os

import click

from .. import logs, program
from .. import settings as settings_module
from ..delivery import worker as delivery_worker
from ..server import supervisor
from .entry import root


@root.command("serve")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer requests.")
@click.option("--threads", type=click.IntRange(1), help="Threads in each of them.")
@click.option("--no-worker", is_flag=True, help="Without the worker that delivers webhooks.")
def serve(no_worker: bool, **chosen: str | int | None) -> None:
    """Serve phones, CRMs and operators, and deliver webhooks; the same as app.py does."""
    # In the environment, so that the processes started from here see them too.
    for name, value in chosen.items():
        if value is not None:
            os.environ[f"SMSGW_{name.upper()}"] = str(value)
    supervisor.run(settings_module.load(), ["web"] if no_worker else ["web", "worker"])


@root.command("worker")
@click.option("--served-descriptor", type=int, hidden=True)
def worker(served_descriptor: int | None) -> None:
    """Deliver webhooks and keep house, without serving; for machines that serve with --no-worker."""
    settings = settings_module.load()
    logs.configure(settings.log_format, settings.log_level)
    delivery_worker.run(settings, lambda: program.tell_served(served_descriptor))
