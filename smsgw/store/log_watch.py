"""Reports writes to a file at once, where the system does that: on Linux, for files of this machine."""

import sys
from typing import TYPE_CHECKING

from ..lazy_imports import lazy

if TYPE_CHECKING:
    import inotify_simple
else:
    inotify_simple = lazy("inotify_simple")


class LogWatch:
    """Watches the log of an SQLite database; whoever uses it looks at the log now and then too.

    After `give_up`, or where the system refuses to watch, `is_watching` stays false.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._inotify: inotify_simple.INotify | None = None
        self._is_possible = sys.platform == "linux"
        self.is_watching = False

    def begin(self) -> None:
        """Watch the file that is there now, and the one before as well: what is written from now on is reported."""
        self.is_watching = False
        if not self._is_possible:
            return
        try:
            if self._inotify is None:
                self._inotify = inotify_simple.INotify()
            self._inotify.add_watch(self._path, inotify_simple.flags.MODIFY)
        except OSError:  # no such file, or more watches than a user may have
            return
        self.is_watching = True

    def wait(self, seconds: float) -> bool:
        """Wait until the file is written to, and return whether it was since the last call."""
        assert self._inotify is not None
        return bool(self._inotify.read(timeout=max(0, round(1000 * seconds))))

    def give_up(self) -> None:
        """Watch no more: a write was not reported, as on file systems that other machines write to."""
        self._is_possible = False
        self.close()

    def close(self) -> None:
        """End what is open; `begin` opens it again."""
        self.is_watching = False
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
