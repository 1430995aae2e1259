"""Cold start: from `python app.py` to the first 200, on a database without messages."""

from statistics import median

from ..scope import Scope
from ..table import Figure, shown


def measure(scope: Scope) -> list[Figure]:
    """Seconds, the median of the rounds."""
    times = []
    for number in range(scope.rounds):
        with scope.app(f"sqlite:///{scope.folder / f'start_{number}.db'}") as server:
            times.append(server.start_seconds)
    return [shown("cold start to the first 200", "s", median(times))]
