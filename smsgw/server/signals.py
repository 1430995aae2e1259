"""Waits for signals that are blocked, on systems without `sigtimedwait` (macOS) too."""

import signal
import time

STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
# Those that the supervisor blocks and waits for.
SUPERVISED = STOP | {signal.SIGCHLD}
STEP_SECONDS = 0.1


def wait(numbers: set[signal.Signals], seconds: float) -> int | None:
    """Return the one of these blocked signals that arrives within the time, or `None`."""
    if hasattr(signal, "sigtimedwait"):
        received = signal.sigtimedwait(numbers, seconds)
        return None if received is None else received.si_signo
    deadline = time.monotonic() + seconds
    while not signal.sigpending() & numbers:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(STEP_SECONDS, left))
    return signal.sigwait(numbers)
