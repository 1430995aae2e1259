"""Reads which webhook endpoints want the events of a CRM."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.sql.expression import SQLColumnExpression

from ...store.json_rows import JsonRows
from ...store.models import Crm, WebhookEndpoint
from ...store.queries import Query

# The subscribers of a CRM as `of_crm` gives them: the values of a `Subscriber` for each.
Gathered = list[list[Any]] | None


class Subscriber(NamedTuple):
    """An enabled endpoint and its filters, `None` for all events or all devices."""

    id: str
    events: list[str] | None
    device_ids: list[str] | None

    def wants(self, event_type: str, device_id: str | None) -> bool:
        """Return whether it subscribed to this event; a device filter only looks at events of a device."""
        if self.events is not None and event_type not in self.events:
            return False
        return self.device_ids is None or device_id is None or device_id in self.device_ids


class _OfCrm(NamedTuple):
    crm_id: str
    subscribers: Gathered


def of_crm(
    crm_id: SQLColumnExpression[str] | SQLColumnExpression[str | None],
) -> sa.ColumnElement[Any]:
    """Select a CRM's subscribers along with a row that names the CRM; `read` takes them."""
    columns = (WebhookEndpoint.id, WebhookEndpoint.events, WebhookEndpoint.device_ids)
    return (
        sa.select(JsonRows(*columns))
        .where(
            WebhookEndpoint.crm_id == crm_id,
            WebhookEndpoint.enabled,
            WebhookEndpoint.removed_at.is_(None),
        )
        .correlate_except(WebhookEndpoint)
        .scalar_subquery()
        .label("subscribers")
    )


_OF_CRMS = Query(
    _OfCrm,
    sa.select(Crm.id.label("crm_id"), of_crm(Crm.id)).where(
        Crm.id.in_(sa.bindparam("crm_ids", expanding=True))
    ),
)


def find(session: Session, crm_ids: Sequence[str]) -> dict[str, list[Subscriber]]:
    """Return the subscribers of each of these CRMs."""
    if not crm_ids:
        return {}
    return {row.crm_id: read(row.subscribers) for row in _OF_CRMS.all(session, crm_ids=crm_ids)}


def read(gathered: Gathered) -> list[Subscriber]:
    """Return the subscribers that came along with a row."""
    return [Subscriber(*values) for values in gathered or ()]
