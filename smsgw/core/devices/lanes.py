"""Names the lanes in which messages queue that any device of their CRM may send.

Those for the device that their number last talked with have a lane for each CRM and device, the sticky lanes.
"""

# All sticky lanes lie in it, the end not included.
RANGE_OF_STICKY = ("s:", "s;")
# Before the name of a lane: no phone takes from it.
HELD = "h:"
RANGE_OF_HELD = (HELD, "h;")


def of_crm(crm_id: str) -> str:
    """Name the lane of messages that the next device of the CRM sends."""
    return f"c:{crm_id}"


def sticky(crm_id: str, device_id: str) -> str:
    """Name the lane of messages that this device sends as long as it can."""
    return f"s:{crm_id}:{device_id}"


def is_open(lane: str | None) -> bool:
    """Return whether the messages in the lane name no device."""
    return lane is not None and lane[:2] in ("c:", "s:")


def is_sticky(lane: str | None) -> bool:
    """Return whether its messages are for the device that their numbers last exchanged messages with."""
    return lane is not None and lane.startswith("s:")


def is_held(lane: str | None) -> bool:
    """Return whether its messages are held since a backup was restored."""
    return lane is not None and lane.startswith(HELD)


def find_sticky_device(lane: str) -> str | None:
    """Return the device of a sticky lane, `None` for other lanes."""
    return parts_of_sticky(lane)[1] if is_sticky(lane) else None


def parts_of_sticky(lane: str) -> tuple[str, str]:
    """Return the ids of the CRM and of the device of a sticky lane."""
    _, crm_id, device_id = lane.split(":", 2)
    return crm_id, device_id
