"""Runs a step of the worker: any error is logged and stops nothing else."""

import logging
from collections.abc import Callable
from typing import TypeVar

from ..store import outages

Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


def attempt(name: str, step: Callable[[], Answer]) -> Answer | None:
    """Run the step and return its result; `None` when it failed."""
    try:
        return step()
    except Exception as error:
        if outages.is_outage(error):
            outages.log.note(error)
        else:
            log.exception("the worker could not %s", name)
        return None
