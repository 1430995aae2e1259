"""Notes when each device was last seen, and announces to CRMs when it goes offline or comes back."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.models import Device
from ...store.queries import Change
from ...store.rows import AnyCrm
from ...store.tables import plain
from ..events import recording
from . import protocols, registry, routing
from .logins import Login

MOST_AT_ONCE = 100
# A device's name, and the secret it came with.
_Key = tuple[str, str]

_QUIET: sa.BindParameter[int] = sa.bindparam("quiet", type_=sa.Integer)
_SEEN = Change(
    sa.update(plain(Device))
    .where(
        Device.id == sa.bindparam("device_id"),
        # Another phone may have the name by now.
        Device.secret_hash == sa.bindparam("secret"),
    )
    .values(
        {
            Device.last_seen_at: sa.bindparam("at"),
            Device.protocol: sa.bindparam("spoken"),
            Device.app_version: sa.func.coalesce(
                sa.bindparam("version", type_=sa.String), Device.app_version
            ),
            Device.quiet_revision: sa.case(
                (Device.quiet_revision > _QUIET, Device.quiet_revision),
                else_=sa.func.coalesce(_QUIET, Device.quiet_revision),
            ),
        }
    )
)


class Sightings:
    """The polls that came since the last write, in memory, so that an idle poll writes nothing to the database."""

    def __init__(self) -> None:
        self._seen: dict[_Key, tuple[datetime, str | None, str]] = {}
        self._quiet: dict[_Key, int] = {}

    def note(
        self,
        login: Login,
        at: datetime,
        app_version: str | None,
        protocol: str = protocols.CHT,
        is_quiet: bool = False,
    ) -> None:
        """Remember that the device was seen, by which protocol, and whether it had nothing left to report."""
        key = (login.device_id, login.secret_hash)
        self._seen[key] = (at, app_version, protocol)
        if is_quiet:
            self._quiet[key] = max(login.revision, self._quiet.get(key, login.revision))

    def write(self, session: Session) -> int:
        """Write all sightings in one statement; return how many there were."""
        seen, self._seen = self._seen, {}
        quiet, self._quiet = self._quiet, {}
        if not seen:
            return 0
        _SEEN.run_each(
            session,
            [
                {
                    "device_id": device_id,
                    "secret": secret_hash,
                    "at": at,
                    "version": version,
                    "spoken": protocol,
                    "quiet": quiet.get((device_id, secret_hash)),
                }
                for (device_id, secret_hash), (at, version, protocol) in sorted(seen.items())
            ],
        )
        return len(seen)


def leave(session: Session, device_id: str, socket_id: str, now: datetime) -> None:
    """Note that the device's socket was open until now; a socket that a newer one has replaced changes nothing."""
    session.execute(
        sa.update(Device)
        .where(Device.id == device_id, Device.socket_id == socket_id)
        .values(socket_id=None, last_seen_at=now)
    )


def online_ids(session: Session, crm: AnyCrm) -> list[str]:
    """Return the devices of the CRM that are online, as last announced to it, by name."""
    is_online = sa.select(Device.id).where(Device.is_online, Device.removed_at.is_(None))
    usable = set(routing.device_ids_of(session, crm))
    return [name for name in session.scalars(is_online.order_by(Device.id)) if name in usable]


def has_changes(session: Session, now: datetime, offline_seconds: int) -> bool:
    """Return whether `announce_changes` would find a device. Reads all devices, without a lock."""
    return session.scalar(sa.select(_changed(now, offline_seconds).exists())) is True


def announce_changes(session: Session, settings: Settings, now: datetime) -> int:
    """Announce `device.offline` once for each device that went silent, and `device.online` once when it is back.

    Some at a time, because others want to write too; returns how many.
    """
    offline_seconds = settings.device_offline_seconds
    changed = session.scalars(
        _changed(now, offline_seconds)
        .order_by(Device.id)
        .limit(MOST_AT_ONCE)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    for device in changed:
        device.is_online = registry.is_online(device, now, offline_seconds)
        if device.is_online:
            device.online_since = now
    shapes = registry.shapes(session, list(changed), settings, now)
    new_events = [
        recording.NewEvent(
            "device.online" if device.is_online else "device.offline",
            crm_id,
            shape,
            device_id=device.id,
        )
        for device, shape in zip(changed, shapes, strict=True)
        for crm_id in routing.ids_for_device(session, device.id)
    ]
    recording.record(session, new_events, now)
    return len(changed)


def _changed(now: datetime, offline_seconds: int) -> sa.Select[Device]:
    is_silent = protocols.is_silent(now, offline_seconds)
    return sa.select(Device).where(Device.removed_at.is_(None), Device.is_online == is_silent)
