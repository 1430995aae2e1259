"""Adds, resets and removes devices, and gives them new secrets."""

import re
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ... import ids
from ...errors import Conflict, Invalid, NotFound
from ...sms import numbers
from ...store import audit
from ...store.inserts import InsertNew
from ...store.models import CrmDevice, Device
from ..devices import breaker, locking, pairing, protocols, silences
from ..devices.locking import Locked
from ..messages import unconfirmed
from . import routes

_DEVICE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _NewDeviceRow(NamedTuple):
    id: str
    secret_hash: str
    created_at: datetime
    owner_crm_id: str | None
    approved: bool


_NEW_DEVICES = InsertNew(Device, _NewDeviceRow, conflict_on=[Device.id], returning=Device.id)


def add_with_password(
    session: Session, device_id: str, phone: str | None, region: str | None, now: datetime
) -> tuple[Device, str]:
    """Add a device of the operators and return it with its password, which is not stored.

    A device that was removed returns with its history, whoever it belonged to.
    """
    secret = ids.new_password()
    return _add(session, device_id, phone, region, secret, now), secret


def add_with_key(
    session: Session, device_id: str, phone: str | None, region: str | None, now: datetime
) -> tuple[Device, str]:
    """Add a device as `add_with_password` does, with a `gw_live_…` key, for apps that need one."""
    secret = ids.new_device_key()
    device = _add(session, device_id, phone, region, secret, now)
    # A guess until its first request: keys are scanned by MySMSAPio's app.
    device.protocol = protocols.MYSMSAPIO
    return device, secret


def add_new(
    session: Session,
    device_id: str,
    phone: str | None,
    region: str | None,
    now: datetime,
    *,
    owner_crm_id: str | None,
    approved: bool,
) -> tuple[Device, str]:
    """Add a device with a new name and a `gw_live_…` key, and return it with the key.

    Raises `Conflict` for a name that any device has or had, in whatever capitals: its messages may still exist.
    """
    _check_name(device_id)
    pairing.PHONES.lock(session)
    is_like_it = sa.func.lower(Device.id) == device_id.lower()
    key = ids.new_device_key()
    row = _NewDeviceRow(device_id, ids.hash_secret(key), now, owner_crm_id, approved)
    is_taken = session.scalar(sa.select(Device.id).where(is_like_it).limit(1)) is not None
    if is_taken or not _NEW_DEVICES.new(session, [row]):
        raise _taken(device_id)
    device = session.get_one(Device, device_id)
    audit.added(session, device)
    set_phone(device, phone, region)
    session.flush()
    return device, key


def rotate(session: Session, device: Device, now: datetime) -> str:
    """Give the device a new password and return it; the old one is void.

    The new password may be used by another phone, so unconfirmed dispatches are in doubt.
    """
    return _with_secret(session, device, ids.new_password(), now)


def rotate_key(session: Session, device: Device, now: datetime) -> str:
    """Change the secret as `rotate` does, to a `gw_live_…` key, for the apps that ask for one."""
    return _with_secret(session, device, ids.new_device_key(), now)


def set_phone(device: Device, phone: str | None, region: str | None) -> None:
    """Set the device's number, `None` if it is unknown. Raises `Invalid` for a text that is no number."""
    fault = None if phone is None else numbers.refusal(phone, region)
    if fault is not None:
        raise Invalid.field("phone", fault)
    device.phone = None if phone is None else numbers.normalise(phone, region)


def reset(session: Session, device: Device, now: datetime) -> int:
    """Fail all messages that the device has in hand, because its phone has lost its data; return how many.

    They fail as `unconfirmed`, because the phone may have sent them. A pause after failures ends.
    """
    locked = _lock(session, device)
    breaker.resume(session, device)
    count = unconfirmed.forget(session, device.id, now)
    unconfirmed.doubt(session, locked, now)
    device.reset_at = now
    audit.note(session, "device", device.id, "reset", device.id)
    return count


def enable(session: Session, device: Device) -> None:
    """Accept the device again, and end its pause."""
    breaker.resume(session, device)
    device.enabled = True


def disable(device: Device) -> None:
    """Refuse the device; its queue waits."""
    device.enabled = False


def remove(session: Session, device: Device, now: datetime) -> None:
    """Remove the device after a `reset`.

    Its messages and ids stay, so that no SMS is received twice, and a phone that gets the name later is not handed what
    this one may have sent.
    """
    reset(session, device, now)
    routes.drop_all(session, CrmDevice.device_id == device.id)
    silences.forget(session, device.id)
    device.removed_at = now
    device.enabled = False
    device.secret_hash = ids.hash_secret(ids.new_device_key())


def login_shape(device_id: str, secret: str, base_url: str) -> dict[str, str]:
    """Return the login for the phone's app, to be shown once. Most apps need only `url`, which contains the rest."""
    scheme, _, rest = base_url.partition("://")
    return {
        "device_id": device_id,
        "username": device_id,
        "password": secret,
        "url": f"{scheme}://{device_id}:{secret}@{rest}/api/sms",
    }


def _add(
    session: Session,
    device_id: str,
    phone: str | None,
    region: str | None,
    secret: str,
    now: datetime,
) -> Device:
    _check_name(device_id)
    row = _NewDeviceRow(device_id, ids.hash_secret(secret), now, None, True)
    is_new = bool(_NEW_DEVICES.new(session, [row]))
    device = session.get_one(Device, device_id, with_for_update=True)
    if not is_new and device.removed_at is None:
        raise _taken(device_id, is_waiting=not device.approved)
    if is_new:
        audit.added(session, device)
    else:
        # Older versions removed devices without a reset.
        unconfirmed.forget(session, device_id, now)
    device.removed_at = device.owner_crm_id = None
    device.enabled = device.approved = True
    set_phone(device, phone, region)
    device.secret_hash = ids.hash_secret(secret)
    session.flush()
    return device


def _check_name(device_id: str) -> None:
    if not _DEVICE_ID.fullmatch(device_id):
        text = "Must have 1 to 64 letters, digits, dots, dashes and underscores."
        raise Invalid.field("device_id", text)


def _taken(device_id: str, is_waiting: bool = False) -> Conflict:
    how = "registered itself and waits: approve or remove it" if is_waiting else "is there already"
    return Conflict(f"a device {device_id!r} {how}", code="device_exists")


def _with_secret(session: Session, device: Device, secret: str, now: datetime) -> str:
    unconfirmed.doubt(session, _lock(session, device), now)
    device.secret_hash = ids.hash_secret(secret)
    return secret


def _lock(session: Session, device: Device) -> Locked:
    """Lock the device, so that no poll hands anything out meanwhile."""
    session.flush()
    locked = locking.lock(session, device.id)
    if locked.removed_at is not None:
        raise NotFound(f"no device {device.id!r}")
    return locked
