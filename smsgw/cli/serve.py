"""Starts the server: `serve`."""

import os

import click

from .. import settings as settings_module
from ..server import supervisor
from . import options
from .entry import root


@options.env_file
@root.command("serve")
@click.option("--host", metavar="ADDRESS", help="The address to listen on; SMSGW_HOST by default.")
@click.option(
    "--port", type=options.Number(0, 65535), help="The port to listen on; SMSGW_PORT by default."
)
@click.option(
    "--workers",
    type=options.Number(1),
    help="The number of processes that answer requests; SMSGW_WORKERS by default.",
)
@click.option(
    "--threads",
    type=options.Number(1),
    help="The number of threads in each process; SMSGW_THREADS by default.",
)
@click.option("--no-worker", is_flag=True, help="Do not start the worker that delivers webhooks.")
def serve(no_worker: bool, **chosen: str | int | None) -> None:
    """Run the server and the worker, as app.py does. The worker delivers webhooks."""
    # In the environment, so that child processes see them too.
    for name, value in chosen.items():
        if value is not None:
            os.environ[f"SMSGW_{name.upper()}"] = str(value)
    supervisor.run(settings_module.load(), with_worker=not no_worker)
