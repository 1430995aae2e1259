"""A step of the worker: whatever goes wrong in it is logged and stops nothing else."""

import logging
from collections.abc import Callable
from typing import TypeVar

from ..store import outages

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


def attempt(name: str, step: Callable[[], Answer]) -> Answer | None:
    """Does the step and returns what it says; `None` when it failed."""
    try:
        return step()
    except Exception as error:
        if outages.is_outage(error):
            outages.log.note(error)
        else:
            log.exception("the worker could not %s", name)
        return None
