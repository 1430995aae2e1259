"""Messages and dispatches as plain rows, for where a poll moves many: the ORM looks at each one by itself."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import TooMany
from ..store.db import run, run_many
from ..store.models import Crm, Delivery, Dispatch, Message, WebhookEndpoint
from ..store.tables import Table, plain

MESSAGES = plain(Message)
DISPATCHES = plain(Dispatch)
DELIVERIES = plain(Delivery)
ENDPOINTS = plain(WebhookEndpoint)


class Row(SimpleNamespace):
    """A row with the attributes of its model. What is changed here is written by whoever read it."""

    id: str


class Caller(NamedTuple):
    """The CRM that calls: what a request needs to know of it."""

    id: str
    name: str
    uses_all_devices: bool
    strict_numbers: bool
    enabled: bool
    queue_limit: int | None = None
    requests_per_minute: int | None = None
    # Where its rate is used up: why nothing new is taken. What it repeats under a `reference` it still gets.
    refusal: TooMany | None = None


AnyCrm = Crm | Caller
AnyMessage = Message | Row | sa.Row[Any]


def _labelled(model: type[Table]) -> list[sa.Label[Any]]:
    attributes = sa.inspect(model).column_attrs
    return [attribute.columns[0].label(attribute.key) for attribute in attributes]


# All columns by the names of the model's attributes.
MESSAGE_COLUMNS = _labelled(Message)
DISPATCH_COLUMNS = _labelled(Dispatch)
_NO_MESSAGE = {column.key: None for column in MESSAGE_COLUMNS}


def message(values: dict[str, Any]) -> Row:
    """A message with these values and no others."""
    return Row(**(_NO_MESSAGE | values))


def fetch(session: Session, statement: sa.Select[Any], **values: Any) -> list[Row]:
    """The rows a constant statement finds; nothing that the session has not written yet is among them."""
    return [Row(**row._asdict()) for row in run(session, statement, values)]


class Saving:
    """What writes these columns of changed rows back."""

    def __init__(self, table: sa.Table, *columns: str) -> None:
        self._columns = columns
        self._update = (
            sa.update(table)
            .where(table.c.id == sa.bindparam("key"))
            .values({name: sa.bindparam(f"new_{name}") for name in columns})
        )

    def save(self, session: Session, changed: Iterable[Row]) -> None:
        """Writes them, in one statement."""
        values = [
            {"key": row.id, **{f"new_{name}": getattr(row, name) for name in self._columns}}
            for row in changed
        ]
        run_many(session, self._update, values)
