"""`/api/v1/events` and `/api/v1/stats`: what happened, one by one and in figures."""

import json
from datetime import timedelta
from typing import Any

from flask import Response

from .. import clock
from ..core import events, stats
from ..http.answers import answer, json_answer
from ..http.guards import crm_or_operator_required, crm_required, find_crm, this_crm
from ..http.openapi import Door
from ..http.wiring import house
from . import event_schemas, examples

_LATELY = timedelta(hours=24)

door = Door("Events", "What happened, by polling: the same events as webhooks, in one order.")


@door.on("GET", "/events")
@door.answers(200, event_schemas.Feed, "The next events.", example=examples.FEED)
@door.fails(404)
@crm_required
@door.takes(event_schemas.EventQuery, location="query")
def feed(query: dict[str, Any]) -> Response:
    """Poll for events

    Oldest first, and none is ever skipped. Begin without `after`, then always give the `next_cursor` of the answer
    before; it stays the same as long as nothing is new.
    """
    after = query.get("after") or None
    with house().database.reading() as session:
        found = events.feed(session, this_crm().id, after, query["limit"])
    next_cursor = found[-1].id if found else after
    # The stored bodies are JSON: what is polled is to the letter what is sent to webhooks.
    data = ",".join(event.body for event in found)
    return json_answer(f'{{"data":[{data}],"next_cursor":{json.dumps(next_cursor)}}}')


@door.on("GET", "/stats")
@door.answers(200, event_schemas.Stats, "The figures.", example=examples.STATS)
@crm_or_operator_required
@door.takes(event_schemas.StatsQuery, location="query")
def show_stats(query: dict[str, Any]) -> Response:
    """Figures

    How many messages since `since` are in which status, in all and per device, and what waits in the queue now. A CRM
    sees its own, an operator those of the whole server.
    """
    now = clock.now()
    since = query.get("since") or now - _LATELY
    crm = find_crm()
    with house().database.reading() as session:
        if crm is None:
            return answer(stats.of_all(session, house().settings, since, now))
        return answer(stats.of_crm(session, crm, house().settings, since, now))
