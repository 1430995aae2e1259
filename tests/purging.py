"""Removes old data as the worker does, in the transaction of a test."""

from datetime import datetime

from smsgw.core.operations import retention
from smsgw.settings import Settings
from smsgw.store.db import Session


def purge(session: Session, settings: Settings, now: datetime) -> int:
    """Take one step of each kind, and return how much was removed."""
    messages = retention.OldMessages(settings)
    count = messages.empty(session, now) if messages.find(session, now) else 0
    count += retention.remove_events(session, settings, now)
    return count + retention.remove_rest(session, settings, now)
