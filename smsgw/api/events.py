"""Serves `/api/v1/events` and `/api/v1/stats`."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import Response

from .. import clock
from ..core.accounts import operator_json
from ..core.events import feed as event_feed
from ..core.operations import stats
from ..http.answers import answer, json_answer
from ..http.context import services
from ..http.guards import crm_or_operator_required, find_crm
from ..store.db import Session
from ..store.models import Event
from . import readers
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import events as examples
from .schemas import events as schemas

_LATELY = timedelta(hours=24)

blueprint = DocumentedBlueprint(
    "Events", "The same events that webhooks send, in a fixed order, by polling; and statistics."
)


@blueprint.on("GET", "/events")
@blueprint.answers(200, schemas.Feed, "The next events.", example=examples.FEED)
@blueprint.fails(404)
@crm_or_operator_required
@blueprint.takes(schemas.EventQuery, location="query")
def feed(query: dict[str, Any]) -> Response:
    """Poll for events

    Events come oldest first, and none is ever skipped. Start without `after`, then always pass the `next_cursor` of the
    previous response, which stays the same as long as there are no new events. An operator gets the events of all CRMs,
    or of the CRM given in `crm`, each with `crm_id` and `crm`.
    """
    after = query.get("after") or None
    with services().database.reading() as session:
        crm = readers.wanted_crm(session, query)
        if crm is None:
            found = event_feed.page_of_all(session, after, query["limit"])
        else:
            found = event_feed.page(session, crm.id, after, query["limit"])
        bodies = _bodies(session, found)
    next_cursor = found[-1].id if found else after
    # The stored bodies are JSON, so that polling returns exactly what webhooks send.
    data = ",".join(bodies)
    return json_answer(f'{{"data":[{data}],"next_cursor":{json.dumps(next_cursor)}}}')


@blueprint.on("GET", "/stats")
@blueprint.answers(200, schemas.Stats, "The statistics.", example=examples.STATS)
@crm_or_operator_required
@blueprint.takes(schemas.StatsQuery, location="query")
def show_stats(query: dict[str, Any]) -> Response:
    """Get statistics

    Counts the messages created since `since` by status, in total and per device, and the messages in the queue now. A
    CRM gets its own figures; an operator gets those of the whole server, or of the CRM given in `crm`.
    """
    now = clock.now()
    since = query.get("since") or now - _LATELY
    with services().database.reading() as session:
        crm = readers.wanted_crm(session, query)
        if crm is None:
            return answer(stats.of_all(session, services().settings, since, now))
        return answer(stats.of_crm(session, crm, services().settings, since, now))


def _bodies(session: Session, found: Sequence[Event]) -> list[str]:
    if find_crm() is not None:
        return [event.body for event in found]
    names = operator_json.crm_names(session, {event.crm_id for event in found})
    whose = [{"crm_id": event.crm_id, "crm": names.get(event.crm_id)} for event in found]
    return [
        f"{event.body[:-1]},{json.dumps(one)[1:]}" for event, one in zip(found, whose, strict=True)
    ]
