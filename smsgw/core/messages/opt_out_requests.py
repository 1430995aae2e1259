"""Adds a number to the opt-out lists of the CRMs that get its `STOP`, and removes it after its `START`."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from ...sms import numbers, opt_out_words
from ...store.rows import MessageRow
from ...store.sessions import connection_of
from ..devices.routing import RoutedCrm
from . import number_locks, opt_outs
from .history import HistoryWriter
from .opt_outs import Cause

# A message, a CRM that gets it, and whether it says stop or start to it.
_Request = tuple[MessageRow, RoutedCrm, bool]


def follow(
    session: Session,
    messages: Sequence[MessageRow],
    receivers: Sequence[RoutedCrm],
    history: HistoryWriter,
) -> None:
    """Change the lists by what these inbound messages say to each CRM, in the order in which their phone got them.

    Names and short codes ask for nothing: no person stands behind them.
    """
    found = [
        (message, receiver, is_stop)
        for message in sorted(messages, key=lambda row: row.device_received_at or row.created_at)
        if numbers.is_subscriber(message.from_number or "")
        for receiver in receivers
        if (is_stop := _asks_to_stop(message.content or "", receiver)) is not None
    ]
    # All at once, so that two phones with the same numbers wait for each other and do not deadlock.
    number_locks.take(connection_of(session), [_locked(one) for one in found])
    for message, receiver, is_stop in found:
        change = opt_outs.add if is_stop else opt_outs.remove
        cause = Cause("sms", message.id, message.device_id)
        change(session, receiver.id, message.from_number or "", cause, history)


def _locked(request: _Request) -> tuple[str, str]:
    message, receiver, _ = request
    return receiver.id, message.from_number or ""


def _asks_to_stop(text: str, receiver: RoutedCrm) -> bool | None:
    """Return whether the text says stop (true) or start (false) to this CRM; `None` where it is any other text."""
    if opt_out_words.is_one_of(text, receiver.stop_words, opt_out_words.DEFAULT_STOP_WORDS):
        return True
    if opt_out_words.is_one_of(text, receiver.start_words, opt_out_words.DEFAULT_START_WORDS):
        return False
    return None
