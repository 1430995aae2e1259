"""Slows down guesses of passwords and codes in this process, by name and by network."""

import time
from collections import OrderedDict
from threading import Lock

_MOST_KEYS = 10_000


class Attempts:
    """The tries of each key: so many at once, then one in so many seconds. A correct one resets the count."""

    def __init__(self, at_once: int, seconds_each: float) -> None:
        self._burst, self._each = at_once * seconds_each, seconds_each
        self._lock = Lock()
        self._arrivals: OrderedDict[str, float] = OrderedDict()

    def count(self, key: str) -> int:
        """Count a try and return 0; if it is too early, return the seconds to wait and do not count it."""
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
        """Reset the count of this key."""
        with self._lock:
            self._arrivals.pop(key, None)
