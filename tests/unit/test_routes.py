"""The table of routes that requests have found before."""

import pytest

from smsgw.http.app import App


@pytest.fixture
def app() -> App:
    made = App("routes", static_folder=None)
    made.url_map.strict_slashes = made.url_map.merge_slashes = False
    made.add_url_rule("/fixed", "fixed", lambda: "fixed", methods=["GET", "POST"])
    made.add_url_rule("/named/<name>", "named", lambda name: name)
    return made


def test_a_repeated_request_is_answered_as_the_first_one(app: App):
    asked = [
        (method, path)
        for method in ("GET", "POST", "PUT", "HEAD", "OPTIONS")
        for path in ("/fixed", "/fixed/", "//fixed", "/fixed/x", "/named/a", "/named/b", "/other")
    ]
    first, second = (
        [
            (answer.status_code, answer.data, sorted(answer.headers.get("Allow", "").split(", ")))
            for answer in (app.test_client().open(path, method=method) for method, path in asked)
        ]
        for _ in range(2)
    )
    assert first == second
    assert {status for status, *_ in first} == {200, 404, 405}
    assert [first[asked.index(("GET", f"/named/{name}"))][1] for name in "ab"] == [b"a", b"b"]


def test_only_routes_themselves_are_kept_so_nobody_can_fill_the_memory(app: App):
    for path in ("/fixed", "/fixed/", "//fixed", "///fixed", "/named/a", "/other"):
        for method in ("GET", "POST", "BREW"):
            app.test_client().open(path, method=method)
    assert app._known_routes.keys() == {("GET", "/fixed"), ("POST", "/fixed")}
