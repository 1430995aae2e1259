"""Whatever a CRM or an operator sends to any route is answered, and whatever a CSV file holds is read or refused."""

import itertools
import json
import urllib.parse
from pathlib import Path

from hypothesis import strategies as st

from smsgw.core.messages import csv_files

from ..api.test_roles import BODIES
from ..cli.conftest import Run
from .conftest import Target
from .mutations import HEADERS, TEXTS, fuzz, packed, written

CELLS = st.one_of(
    TEXTS.filter(lambda text: len(text) < 2000), st.sampled_from(["+12025550123", "x", "4"])
)
COLUMNS = st.sampled_from([*csv_files.NEEDED, *csv_files.OPTIONAL, "", "TO", "unknown", "\ufeffto"])


def requests(target: Target) -> st.SearchStrategy:
    """A method, a path whose names are anything, a query, and a body of the route's shape, of any route."""
    rules = [
        (method, rule)
        for rule in target.world.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        if not rule.websocket
    ]
    return st.sampled_from(rules).flatmap(
        lambda one: st.tuples(
            st.just(one[0]),
            st.lists(TEXTS, min_size=2, max_size=2).map(lambda names: _path(one[1], names)),
            st.dictionaries(st.sampled_from(QUERY), TEXTS, max_size=3),
            written(BODIES.get(f"{one[0]} {one[1].rule}", lambda _: {})(1)),
        )
    )


QUERY = [
    "q",
    "from",
    "to",
    "since",
    "until",
    "cursor",
    "limit",
    "after",
    "status",
    "direction",
    "crm",
]


def _path(rule, names) -> str:
    path = rule.rule
    for part, name in zip(sorted(rule.arguments), names, strict=False):
        # A slash would be another route, and a name of 70,000 characters is refused by the server before.
        quoted = urllib.parse.quote(name[:300].encode("utf-8", "replace"), safe="")
        path = path.replace(f"<{part}>", quoted or "x").replace(f"<path:{part}>", quoted or "x")
    return path


def test_whatever_is_sent_to_any_route_is_answered(target: Target):
    headers = itertools.cycle([target.world.as_crm(), target.operator, target.app])

    @fuzz(requests(target), HEADERS)
    def attempt(request, more):
        method, path, query, data = request
        query = {name: text[:500].encode("utf-8", "replace") for name, text in query.items()}
        url = f"{path}?{urllib.parse.urlencode(query)}"
        wanted = {**more, **next(headers)}
        target.send(method, url, b"" if method == "GET" else data, wanted)

    attempt()


def test_packed_bodies_of_crms_are_taken_or_refused(target: Target):
    shape = {"to": "+12025550123", "content": "x"}

    @fuzz(written(shape).flatmap(packed), part=2)
    def attempt(sent):
        data, encoding = sent
        headers = {**target.world.as_crm(), "Content-Encoding": encoding}
        answer = target.send("POST", "/api/v1/messages", data, headers)
        assert answer.status_code in (202, 400, 413, 415, 422)

    attempt()


@st.composite
def files(draw) -> bytes:
    """A CSV file, mostly a right one."""
    delimiter = draw(st.sampled_from([",", ";", "\t", "|", ",", ","]))
    header = draw(st.one_of(st.just(["to", "content"]), st.lists(COLUMNS, max_size=6)))
    rows = [header, *draw(st.lists(st.lists(CELLS, max_size=4), max_size=6))]
    quote = draw(st.booleans())
    lines = [delimiter.join(f'"{cell}"' if quote else cell for cell in row) for row in rows]
    text = draw(st.sampled_from(["", "sep=;\n", "\ufeff", "\n\n"])) + "\n".join(lines)
    data = text.encode(draw(st.sampled_from(["utf-8", "utf-16", "utf-8"])), "surrogatepass")
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 5)) == 0 else data


def test_a_csv_file_is_queued_as_a_whole_or_refused_with_its_reason(
    target: Target, run: Run, tmp_path: Path
):
    path = tmp_path / "file.csv"

    @fuzz(files())
    def attempt(data):
        path.write_bytes(data)
        before = target.count()
        asked = ["import", "messages", str(path), "--crm", "clinic", "--again", "--json"]
        result = run(*asked)
        assert result.exit_code in (0, 1), result.output
        assert isinstance(result.exception, SystemExit | None), result.exception
        if result.exit_code == 1:
            assert result.output.strip()
            assert target.count() == before
        else:
            assert target.count() == before + json.loads(result.stdout)["imported_count"]

    attempt()
