"""Slows down guesses of passwords and codes, in this process: each name and each network has some at once."""

import time
from collections import OrderedDict
from threading import Lock

_MOST_KEYS = 10_000


class Attempts:
    """So many tries at once for each key, then one in so many seconds. A try that was right gives all back."""

    def __init__(self, at_once: int, seconds_each: float) -> None:
        self._burst, self._each = at_once * seconds_each, seconds_each
        self._lock = Lock()
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    def count(self, key: str) -> int:
        """Count a try; return the seconds to wait where it is too early and was not counted, otherwise 0."""
        moment = time.monotonic()
        with self._lock:
            later = max(self._arrivals.get(key, 0.0), moment) + self._each
            if later - moment > self._burst:
                return int(later - moment - self._burst) + 1
            self._arrivals[key] = later
            self._arrivals.move_to_end(key)
            if len(self._arrivals) > _MOST_KEYS:
                self._arrivals.popitem(last=False)
            return 0

    def forget(self, key: str) -> None:
        """Give the tries of this key back."""
        with self._lock:
            self._arrivals.pop(key, None)
