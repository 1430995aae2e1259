"""Polls that bring nothing and find nothing: what an idle fleet costs."""

from .. import people, wrk
from ..places import Server
from ..scope import Scope, require
from ..table import Aim, Figure, compared
from ..wrk import Load

AIMS = {"sqlite": Aim(0.75), "postgresql": Aim(0.55)}
PHONES = 200
IDLE_BODY = '{"messages": [], "updates": []}'


def measure(scope: Scope) -> list[Figure]:
    """Polls a second, and how long they took, against the bare route in the same round."""
    return [figure for kind in scope.kinds for figure in _measure(scope, kind)]


def _measure(scope: Scope, kind: str) -> list[Figure]:
    url = scope.new_database(kind, f"polls_{kind}")
    taking_part = people.make(url, PHONES)
    pairs = [(people.basic(login), IDLE_BODY) for login in taking_part.logins]
    load = wrk.requests(scope.folder, f"polls_{kind}", "POST", "/api/sms", pairs)
    with scope.bare() as bare, scope.web(url) as server:
        _check(server, pairs[0][0])
        for one in (bare, server):
            load.run(one.url)
        rounds = [_round(load, server, bare) for _ in range(scope.wrk_rounds)]
    return _figures(kind, rounds)


def _check(server: Server, authorization: str) -> None:
    answer = server.request("POST", "/api/sms", {}, {"Authorization": authorization})
    require(answer == (200, {"messages": []}), f"an idle poll was answered {answer}")
    status, _ = server.request("POST", "/api/sms", {}, {"Authorization": "Basic eDp5"})
    require(status == 401, f"a stranger was answered {status}")


def _round(load: wrk.Requests, server: Server, bare: Server) -> tuple[Load, Load]:
    reference = load.run(bare.url)
    ours = load.run(server.url)
    require(ours.errors == 0, f"{ours.errors} of {ours.requests} idle polls failed")
    return ours, reference


def _figures(kind: str, rounds: list[tuple[Load, Load]]) -> list[Figure]:
    name = f"idle poll, {kind}"
    return [
        compared(name, "polls/s", [(a.per_second, b.per_second) for a, b in rounds], AIMS[kind]),
        compared(f"{name}, p50", "ms", [(a.p50_ms, b.p50_ms) for a, b in rounds]),
        compared(f"{name}, p99", "ms", [(a.p99_ms, b.p99_ms) for a, b in rounds]),
    ]
