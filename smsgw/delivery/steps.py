"""A step of the worker: whatever goes wrong in it is logged and stops nothing else."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def attempt(name: str, step: Callable[[], bool]) -> bool:
    """Does the step and returns what it says; `False` when it failed."""
    try:
        return step()
    except Exception:
        log.exception("the worker could not %s", name)
        return False
