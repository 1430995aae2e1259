"""Serves `/api/v1/audit`: who changed what."""

from typing import Any

from flask import Response

from ..core.accounts import audit_log
from ..core.accounts.audit_log import Filters
from ..http.answers import answer
from ..http.context import services
from ..http.guards import operator_required
from .openapi.blueprint import DocumentedBlueprint
from .openapi.examples import audit as examples
from .schemas import audit as schemas

blueprint = DocumentedBlueprint("Audit", "Who changed what, and when. For operators only.")


@blueprint.on("GET", "/audit")
@blueprint.answers(200, schemas.AuditPage, "A page of entries.", example=examples.AUDIT_PAGE)
@operator_required
@blueprint.takes(schemas.AuditQuery, location="query")
def list_entries(query: dict[str, Any]) -> Response:
    """List changes

    Newest first. There is an entry for each change of a device, a CRM, a route, a key, a webhook, a limit, an operator
    or an opt-out, for each time that registration is opened, a message is resent or an operator cancels it, events are
    delivered again or a webhook is tested, and the quarantine is cleared. Entries are kept for 400 days, or for
    `SMSGW_RETENTION_DAYS` if that is longer.
    """
    cursor, limit = query.pop("cursor", None), query.pop("limit")
    with services().database.reading() as session:
        found, next_cursor = audit_log.page(session, Filters(**query), cursor, limit)
    return answer({"data": found, "next_cursor": next_cursor})
