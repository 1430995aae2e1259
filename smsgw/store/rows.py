"""Gives messages and dispatches as plain rows where a poll moves many: the ORM takes time for each one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import TooMany
from .models import Crm, Dispatch, Message
from .row_classes import fields_of
from .tables import Table


@dataclass(slots=True)
class MessageRow:
    """A message. What is changed here is written by whoever read it."""

    id: str
    direction: str
    status: str
    encoding: str
    segments: int
    created_at: datetime
    updated_at: datetime
    priority: int = 4
    crm_id: str | None = None
    device_id: str | None = None
    lane: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    content: str | None = None
    reason: str | None = None
    reason_class: str | None = None
    text_hash: int | None = None
    reference: str | None = None
    request_hash: str | None = None
    metadata_: dict[str, Any] | None = None
    send_at: datetime | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    stuck_at: datetime | None = None
    inbound_key: str | None = None
    device_received_at: datetime | None = None
    sms_sent_at: datetime | None = None
    purged_at: datetime | None = None


@dataclass(slots=True)
class DispatchRow:
    """A dispatch. What is changed here is written by whoever read it."""

    id: str
    message_id: str
    device_id: str
    protocol: str
    status: str
    status_at: datetime
    segments: int
    hand_out_count: int
    handed_out_at: datetime
    last_handed_out_at: datetime
    lease_until: datetime
    retry_count: int = 0
    reported_revision: int = 0
    reason: str | None = None
    reason_class: str | None = None
    acknowledged_at: datetime | None = None
    superseded_at: datetime | None = None
    stuck_at: datetime | None = None


class Caller(NamedTuple):
    """The CRM that calls: what a request needs to know of it."""

    id: str
    name: str
    uses_all_devices: bool
    strict_numbers: bool
    enabled: bool
    queue_limit: int | None = None
    requests_per_minute: int | None = None
    loop_guard: int | None = None
    sticky_sender: bool = False
    # Where its rate is used up: why nothing new is taken. What it repeats under a `reference` it still gets.
    refusal: TooMany | None = None


AnyCrm = Crm | Caller


def caller_of(crm: Crm) -> Caller:
    """Return the CRM as if it called with its own key."""
    return Caller(**{name: getattr(crm, name) for name in Caller._fields if hasattr(crm, name)})


def _columns(model: type[Table], row: type) -> list[sa.Label[Any]]:
    attributes = sa.inspect(model).column_attrs
    names = [field.name for field in fields_of(row)]
    return [attributes[name].columns[0].label(name) for name in names]


# What a query selects that gives such rows.
MESSAGE_COLUMNS = _columns(Message, MessageRow)
DISPATCH_COLUMNS = _columns(Dispatch, DispatchRow)
