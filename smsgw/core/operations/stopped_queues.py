"""Names the phones and CRMs that are switched off while messages wait for them: nobody sends these."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...store.models import Crm, Device
from ..devices import advice, lanes, routing
from ..messages import next_steps
from . import spans
from .backlog import Backlog, WaitingLane
from .finding import Finding

# Phones poll about once a minute: before, nothing needs to be asked where all are enabled.
_FETCHED_WITHIN = timedelta(minutes=2)
_MOST_CRMS = 20
_MOST_NAMES = 5


def findings(
    session: Session, now: datetime, devices: Sequence[Device], found: Backlog
) -> Iterator[Finding]:
    """Yield a finding for each device and each CRM whose due messages nobody may send."""
    due = [lane for lane in found.on_their_way().lanes if lane.due_count]
    known = {device.id: device for device in devices if device.approved}
    for lane in due:
        device = known.get(lanes.find_device(lane.name) or "")
        if device is not None and not device.enabled:
            text = f"is disabled, and {_waiting([lane], now)}"
            yield Finding(f"device {device.id}", "wrong", text, *advice.disabled(device))
    is_late = any(lane.oldest_due_at <= now - _FETCHED_WITHIN for lane in due if lane.oldest_due_at)
    is_any_disabled = not all(device.enabled for device in known.values())
    if is_late or (due and is_any_disabled):
        yield from _of_crms(session, now, known, due)


def _of_crms(
    session: Session, now: datetime, known: dict[str, Device], due: Sequence[WaitingLane]
) -> Iterator[Finding]:
    by_crm: dict[str, list[WaitingLane]] = defaultdict(list)
    for lane in due:
        by_crm[lanes.crm_of(lane.name) or ""].append(lane)
    everyone = session.scalars(
        sa.select(Crm).where(Crm.id.in_(by_crm), Crm.removed_at.is_(None)).order_by(Crm.id)
    )
    is_operated = any(one.enabled and one.owner_crm_id is None for one in known.values())
    # Most may use all phones: only of the others each has to be asked for its own.
    suspects = [
        one for one in everyone if not (one.enabled and one.uses_all_devices and is_operated)
    ]
    for crm in suspects[:_MOST_CRMS]:
        check, waiting = f"crm {crm.name}", _waiting(by_crm[crm.id], now)
        if not crm.enabled:
            text = f"is disabled, and {waiting}"
            yield Finding(check, "warning", text, *next_steps.enable_crm(crm))
            continue
        usable = routing.device_ids_of(session, crm)
        if any(name not in known or known[name].enabled for name in usable):
            continue
        if usable:
            text = f"{waiting}, and all phones that it may use are disabled: {_names(usable)}"
            yield Finding(check, "wrong", text, *advice.disabled(known[usable[0]]))
        else:
            text = f"{waiting}, and it may use no phone"
            yield Finding(check, "wrong", text, *next_steps.route_phone(crm))


def _waiting(found: Sequence[WaitingLane], now: datetime) -> str:
    count = sum(lane.due_count for lane in found)
    oldest = min(lane.oldest_due_at for lane in found if lane.oldest_due_at)
    first = "has waited" if count == 1 else "wait, the first"
    return f"{spans.counted(count, 'message')} {first} since {spans.since(oldest, now)}"


def _names(found: Sequence[str]) -> str:
    more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return ", ".join(found[:_MOST_NAMES]) + more
