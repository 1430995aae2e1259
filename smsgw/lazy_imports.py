"""Imports what only some processes and commands need when they first need it: the only place that imports by name.

Everybody else imports at the top of the file. A module that is costly and seldom needed is declared there:

    if TYPE_CHECKING:
        import psycopg
    else:
        psycopg = lazy("psycopg")
"""

import gc
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _LazyModule(ModuleType):
    """Stands for a module, which is imported when the first of its attributes is read."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and its tools look for these in whatever they are shown
            raise AttributeError(name)
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


def lazy(name: str) -> ModuleType:
    """Return the module of this full name; it is imported when the first of its attributes is read."""
    return sys.modules.get(name) or _LazyModule(name)


def is_loaded(name: str) -> bool:
    """Return whether the module is imported: if not, nothing of it can be at hand, such as an error that it raises."""
    return name in sys.modules


def load(*names: str) -> ModuleType:
    """Import modules, exempt all they made from garbage collection, and return the first.

    Collecting while so much is made takes an eighth of the time. What is exempt is not looked through at exit, and
    stays in memory that processes share which are forked later.
    """
    if not all(map(is_loaded, names)):
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            for name in names:
                import_module(name)
        finally:
            gc.freeze()
            if was_enabled:
                gc.enable()
    return sys.modules[names[0]]
