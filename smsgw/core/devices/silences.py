"""Reads the announced silences of devices, and explains them in words."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...clock import rfc3339
from ...store.models import DeviceSilence
from . import silence_rules as rules


class SilenceWords(NamedTuple):
    """The `text` about a silence, and the `advice` on what to check."""

    text: str
    advice: str


_WORDS = {
    rules.NOT_SENDING: SilenceWords(
        "is online and has work, and has not taken or sent anything since {since}",
        "look at the app: is it sending, has the phone reception and credit, does Android ask for a permission?",
    ),
    rules.NOT_RECEIVING: SilenceWords(
        "sends, and has received nothing since {since} while other phones have",
        "switch RCS (chat features) off in the phone's messages app, because it takes SMS away silently; then send it "
        "an SMS, and look whether the app is still the one that receives them",
    ),
    rules.NO_DELIVERY_REPORTS: SilenceWords(
        f"has had no delivery report since {{since}}, for at least {rules.SENT_WITHOUT_REPORT} sent messages",
        "see whether they arrive; restart the phone, and ask the network whether it still sends delivery reports",
    ),
}


def of_devices(session: Session, device_ids: Sequence[str]) -> dict[str, list[DeviceSilence]]:
    """Return the silences of each device that has any."""
    found = session.scalars(
        sa.select(DeviceSilence)
        .where(DeviceSilence.device_id.in_(device_ids))
        .order_by(DeviceSilence.device_id, DeviceSilence.since, DeviceSilence.reason)
    )
    silences: dict[str, list[DeviceSilence]] = defaultdict(list)
    for silence in found:
        silences[silence.device_id].append(silence)
    return silences


def shape(reason: str, since: datetime) -> dict[str, str]:
    """Return a silence as REST shows it."""
    words = in_words(reason, since)
    return {
        "reason": reason,
        "since": rfc3339(since),
        "text": f"The phone {words.text}: {words.advice}.".replace("?.", "?"),
    }


def in_words(reason: str, since: datetime) -> SilenceWords:
    """Return what the silence means and what to do."""
    words = _WORDS[reason]
    return words._replace(text=words.text.format(since=f"{since:%Y-%m-%d %H:%M} UTC"))


def forget(session: Session, device_id: str) -> None:
    """Remove the silences of a device that is removed, without an announcement."""
    session.execute(sa.delete(DeviceSilence).where(DeviceSilence.device_id == device_id))
