"""Renders pages, with the navigation and the values that all of them need."""

from typing import Any

from flask import Response, make_response, render_template

from . import navigation, visitors

# The favicon and the mark beside the title follow it.
STATES = ("ok", "warning", "wrong")


def render(
    template: str, *, title: str, state: str | None = None, status: int = 200, **values: Any
) -> Response:
    """Return a page for a signed-in person. `state` is `ok`, `warning`, `wrong` or none."""
    person = visitors.person()
    found = render_template(
        template,
        title=title,
        state=state,
        person=person,
        entries=navigation.entries(person.role),
        **values,
    )
    return make_response(found, status)


def fragment(template: str, **values: Any) -> Response:
    """Return a part of a page for htmx."""
    answer = make_response(render_template(template, person=visitors.person(), **values))
    answer.vary.add("HX-Request")
    return answer


def bare(template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page for somebody who is not signed in."""
    return make_response(render_template(template, person=None, **values), status)


def nothing_new() -> Response:
    """Return the answer for a page that is up to date."""
    return Response(status=204)
