"""Runs a worker by itself: `worker`."""

from .. import logs
from .. import settings as settings_module
from ..delivery import worker as delivery_worker
from . import options
from .context import database_errors
from .entry import root


@options.env_file
@root.command("worker")
def worker() -> None:
    """Run only the worker. It delivers webhooks and removes old data, for servers that run with --no-worker."""
    settings = settings_module.load()
    logs.configure(settings.log_format, settings.log_level)
    with database_errors():
        delivery_worker.run(settings)
