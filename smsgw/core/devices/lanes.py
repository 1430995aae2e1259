"""Names the lanes in which messages queue: `d:` for one device, `c:` for any device of a CRM, `s:` for sticky ones.

A sticky lane is for a CRM and the device that last exchanged messages with the number. `HELD`, `PAUSED` or both, in
this order, stand before the name of a lane whose messages no phone is handed.
"""

DEVICE = "d:"
CRM = "c:"
STICKY = "s:"
# Since a backup was restored or a copied database reopened.
HELD = "h:"
# With the bulk they were queued with.
PAUSED = "p:"
# The first lane of a kind, and what comes after the last one.
RANGE_OF_STICKY = (STICKY, "s;")
RANGE_OF_HELD = (HELD, "h;")
RANGE_OF_PAUSED = (PAUSED, "p;")
_PREFIXES = (HELD + PAUSED, HELD, PAUSED)
# The beginnings of the lanes for one device.
DEVICE_PREFIXES = tuple(prefix + DEVICE for prefix in ("", *_PREFIXES))


def of_crm(crm_id: str) -> str:
    """Name the lane of messages that the next device of the CRM sends."""
    return CRM + crm_id


def of_only_device(device_id: str) -> str:
    """Name the lane of messages that this device alone sends."""
    return DEVICE + device_id


def sticky(crm_id: str, device_id: str) -> str:
    """Name the lane of messages that this device sends as long as it can."""
    return f"{STICKY}{crm_id}:{device_id}"


def is_open(lane: str | None) -> bool:
    """Return whether the messages in the lane name no device."""
    return lane is not None and lane.startswith((CRM, STICKY))


def is_sticky(lane: str | None) -> bool:
    """Return whether its messages are for the device that last exchanged messages with their number."""
    return lane is not None and lane.startswith(STICKY)


def crm_of(lane: str | None) -> str | None:
    """Return the CRM whose messages queue in this open lane; `None` for lanes of one device."""
    return lane.split(":")[1] if lane is not None and is_open(lane) else None


def is_held(lane: str | None) -> bool:
    """Return whether its messages are held, paused or not."""
    return lane is not None and lane.startswith(HELD)


def is_paused(lane: str | None) -> bool:
    """Return whether its messages are paused, held or not."""
    return lane is not None and lane.startswith((PAUSED, HELD + PAUSED))


def exchange(lane: str | None, name: str) -> str:
    """Return the lane `name`, held or paused as `lane` is."""
    prefix, _ = _parts(lane or "")
    return prefix + name


def of_device(device_id: str) -> list[str]:
    """Name all lanes of messages that this device alone may send, held and paused ones too."""
    return [prefix + device_id for prefix in DEVICE_PREFIXES]


def find_device(lane: str | None) -> str | None:
    """Return the device that alone may send its messages, also while they are held or paused."""
    _, name = _parts(lane or "")
    return name.removeprefix(DEVICE) if name.startswith(DEVICE) else None


def find_sticky_device(lane: str | None) -> str | None:
    """Return the device of a sticky lane, `None` for other lanes."""
    return parts_of_sticky(lane)[1] if lane is not None and is_sticky(lane) else None


def parts_of_sticky(lane: str) -> tuple[str, str]:
    """Return the ids of the CRM and of the device of a sticky lane."""
    _, crm_id, device_id = lane.split(":", 2)
    return crm_id, device_id


def _parts(lane: str) -> tuple[str, str]:
    prefix = next((one for one in _PREFIXES if lane.startswith(one)), "")
    return prefix, lane.removeprefix(prefix)
