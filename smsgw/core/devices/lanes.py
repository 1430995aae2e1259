"""Names the lanes in which messages queue: `d:` for one device, `c:` for any device of a CRM, and sticky ones.

Those for the device that their number last talked with have a lane for each CRM and device, the sticky lanes. The
lanes that no phone takes from have `HELD`, `PAUSED` or both, in this order, before the name of another.
"""

# All sticky lanes lie in it, the end not included.
RANGE_OF_STICKY = ("s:", "s;")
# Since a backup was restored or a copied database reopened.
HELD = "h:"
RANGE_OF_HELD = (HELD, "h;")
# With the bulk they were queued with.
PAUSED = "p:"
RANGE_OF_PAUSED = (PAUSED, "p;")
_OF_DEVICE = "d:"
_PREFIXES = (HELD + PAUSED, HELD, PAUSED)
# With what the lanes of messages begin that are for one device.
DEVICE_PREFIXES = tuple(prefix + _OF_DEVICE for prefix in ("", *_PREFIXES))


def of_crm(crm_id: str) -> str:
    """Name the lane of messages that the next device of the CRM sends."""
    return f"c:{crm_id}"


def of_only_device(device_id: str) -> str:
    """Name the lane of messages that this device alone sends."""
    return _OF_DEVICE + device_id


def sticky(crm_id: str, device_id: str) -> str:
    """Name the lane of messages that this device sends as long as it can."""
    return f"s:{crm_id}:{device_id}"


def is_open(lane: str | None) -> bool:
    """Return whether the messages in the lane name no device."""
    return lane is not None and lane[:2] in ("c:", "s:")


def is_sticky(lane: str | None) -> bool:
    """Return whether its messages are for the device that their numbers last exchanged messages with."""
    return lane is not None and lane.startswith("s:")


def crm_of(lane: str | None) -> str | None:
    """Return the CRM whose messages queue in this open lane; `None` for lanes of one device."""
    return lane.split(":")[1] if lane is not None and is_open(lane) else None


def is_held(lane: str | None) -> bool:
    """Return whether its messages are held, paused or not."""
    return lane is not None and lane.startswith(HELD)


def is_paused(lane: str | None) -> bool:
    """Return whether its messages are paused, held or not."""
    return lane is not None and lane.startswith((PAUSED, HELD + PAUSED))


def without_prefix(lane: str | None) -> str:
    """Return the lane its messages come to when they are neither held nor paused."""
    return _parts(lane or "")[1]


def exchange(lane: str | None, name: str) -> str:
    """Return this lane in the place of the other: held or paused as that is."""
    return _parts(lane or "")[0] + name


def of_device(device_id: str) -> list[str]:
    """Name all lanes of messages that this device alone may send, held and paused ones too."""
    return [prefix + device_id for prefix in DEVICE_PREFIXES]


def find_device(lane: str | None) -> str | None:
    """Return the device that alone may send its messages, also while they are held or paused."""
    name = without_prefix(lane)
    return name.removeprefix(_OF_DEVICE) if name.startswith(_OF_DEVICE) else None


def find_sticky_device(lane: str) -> str | None:
    """Return the device of a sticky lane, `None` for other lanes."""
    return parts_of_sticky(lane)[1] if is_sticky(lane) else None


def parts_of_sticky(lane: str) -> tuple[str, str]:
    """Return the ids of the CRM and of the device of a sticky lane."""
    _, crm_id, device_id = lane.split(":", 2)
    return crm_id, device_id


def _parts(lane: str) -> tuple[str, str]:
    prefix = next((one for one in _PREFIXES if lane.startswith(one)), "")
    return prefix, lane.removeprefix(prefix)
