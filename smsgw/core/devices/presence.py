"""Notes when each device was last seen, and announces to CRMs when it goes offline or comes back."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ...settings import Settings
from ...store.db import Database
from ...store.models import Device
from ...store.queries import Change, Query
from ...store.rows import AnyCrm
from ...store.tables import plain
from ..events import recording
from . import protocols, registry, routing
from .logins import Login

MOST_AT_ONCE = 100
# A device's name, and the secret it came with.
_Key = tuple[str, str]
# When, the app's version, and the protocol.
_Sighting = tuple[datetime, str | None, str]

_QUIET: sa.BindParameter[int] = sa.bindparam("quiet", type_=sa.Integer)
_SEEN = Change(
    sa.update(plain(Device))
    .where(
        Device.id == sa.bindparam("device_id"),
        # Another phone may have this name by now.
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
_IS_CHANGED = sa.and_(Device.removed_at.is_(None), Device.is_online == protocols.is_silent())
_CHANGED = Query(str, sa.select(Device.id).where(_IS_CHANGED).limit(1))
_FREE = Query(
    str,
    sa.select(Device.id)
    .where(Device.id.in_(sa.bindparam("device_ids", type_=sa.String, expanding=True)))
    .with_for_update(skip_locked=True, key_share=True),
)


class Sightings:
    """The polls that came since the last write, in memory, so that an idle poll writes nothing to the database."""

    def __init__(self) -> None:
        self._seen: dict[_Key, _Sighting] = {}
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

    def __len__(self) -> int:
        return len(self._seen)

    def write(self, session: Session) -> int:
        """Write all sightings in one statement; return how many there were."""
        seen, self._seen = self._seen, {}
        quiet, self._quiet = self._quiet, {}
        _SEEN.run_each(session, [_values(key, seen[key], quiet.get(key)) for key in sorted(seen)])
        return len(seen)

    def split(self) -> list["Sightings"]:
        """Take all sightings out, in parts of some devices each."""
        seen, self._seen = self._seen, {}
        quiet, self._quiet = self._quiet, {}
        keys = sorted(seen)
        parts = []
        for start in range(0, len(keys), MOST_AT_ONCE):
            part = Sightings()
            for key in keys[start : start + MOST_AT_ONCE]:
                part._put(key, seen[key], quiet.get(key))
            parts.append(part)
        return parts

    def write_free(self, session: Session) -> None:
        """Write the sightings of devices that no other transaction has locked, and keep the others.

        Waiting for one device would make the polls of all devices wait that were written before it.
        """
        free = set(_FREE.all(session, device_ids=[name for name, _ in self._seen]))
        keys = [key for key in self._seen if key[0] in free]
        _SEEN.run_each(
            session, [_values(key, self._seen.pop(key), self._quiet.pop(key, None)) for key in keys]
        )

    def put_back(self, part: "Sightings") -> None:
        """Take over what could not be written, where nothing newer was noted meanwhile."""
        for key, sighting in part._seen.items():
            self._put(key, sighting, part._quiet.get(key))

    def _put(self, key: _Key, sighting: _Sighting, quiet: int | None) -> None:
        self._seen.setdefault(key, sighting)
        if quiet is not None:
            self._quiet[key] = max(quiet, self._quiet.get(key, quiet))


def leave(session: Session, device_id: str, socket_id: str, now: datetime) -> None:
    """Note that the device's socket has closed; a socket that a newer one has replaced changes nothing."""
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


def has_changes(database: Database, settings: Settings, now: datetime) -> bool:
    """Return whether `announce_changes` would find a device. Reads all devices, without a lock."""
    limits = protocols.silence_limits(now, settings.device_offline_seconds)
    return _CHANGED.read(database, **limits) is not None


def announce_changes(session: Session, settings: Settings, now: datetime) -> int:
    """Announce `device.offline` once for each device that went silent, and `device.online` once when it is back.

    Announces some at a time, because others need to write too; returns how many.
    """
    offline_seconds = settings.device_offline_seconds
    changed = session.scalars(
        sa.select(Device)
        .where(_IS_CHANGED)
        .order_by(Device.id)
        .limit(MOST_AT_ONCE)
        .with_for_update(skip_locked=True, key_share=True),
        protocols.silence_limits(now, offline_seconds),
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


def _values(key: _Key, sighting: _Sighting, quiet: int | None) -> dict[str, object]:
    device_id, secret_hash = key
    at, version, protocol = sighting
    return {
        "device_id": device_id,
        "secret": secret_hash,
        "at": at,
        "version": version,
        "spoken": protocol,
        "quiet": quiet,
    }
