"""Runs the steps of the worker, so that an error in one is logged and does not stop the others."""

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
        outages.log_failure(error, log, f"the worker could not {name}")
        return None
