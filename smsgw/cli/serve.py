"""Starts the server: `serve`."""

import os

import click

from .. import settings as settings_module
from ..server import supervisor
from . import options
from .entry import root


@root.command("serve")
@click.option("--host", help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen on.")
@click.option(
    "--workers", type=click.IntRange(1), help="The number of processes that answer requests."
)
@click.option("--threads", type=click.IntRange(1), help="The number of threads in each process.")
@click.option("--no-worker", is_flag=True, help="Do not start the worker that delivers webhooks.")
@options.env_file
def serve(no_worker: bool, **chosen: str | int | None) -> None:
    """Run the server and the worker, as app.py does. The worker delivers webhooks."""
    # In the environment, so that child processes see them too.
    for name, value in chosen.items():
        if value is not None:
            os.environ[f"SMSGW_{name.upper()}"] = str(value)
    supervisor.run(settings_module.load(), with_worker=not no_worker)
