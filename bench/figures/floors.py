"""What the bare route and the database alone leave: nothing that answers polls and takes messages could be faster."""

from .. import people, wrk
from ..scope import Scope, require
from ..table import Figure, compared
from ..wrk import Load

DEEDS = {"look": "bare route with the look of a poll", "insert": "bare route with a message's rows"}
MOST_ROUNDS = 9


def measure(scope: Scope) -> list[Figure]:
    """Requests a second, against the bare route in the same round; there is no aim."""
    return [_measure(scope, kind, deed) for kind in scope.kinds for deed in DEEDS]


def _measure(scope: Scope, kind: str, deed: str) -> Figure:
    url = scope.new_database(kind, f"floor_{deed}")
    people.make(url, 1)
    load = wrk.requests(
        scope.folder, f"floor_{kind}_{deed}", "POST", "/api/sms", [("Basic eDp5", "{}")]
    )
    with scope.bare() as bare, scope.bare(deed, url) as doing:
        for one in (bare, doing):
            load.run(one.url)
        count = min(scope.wrk_rounds, MOST_ROUNDS)
        rounds = [_round(load, doing.url, bare.url) for _ in range(count)]
    pairs = [(ours.per_second, reference.per_second) for ours, reference in rounds]
    return compared(f"{DEEDS[deed]}, {kind}", "/s", pairs)


def _round(load: wrk.Requests, url: str, bare_url: str) -> tuple[Load, Load]:
    reference = load.run(bare_url)
    ours = load.run(url)
    require(ours.errors == 0, f"{ours.errors} of {ours.requests} requests failed")
    return ours, reference
