"""Turns the logins that this process has refused lately into findings: phones with a wrong password, and attacks."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from ..core.devices import registry
from ..core.operations import spans
from ..core.operations.finding import Finding
from ..http import refusals
from ..http.context import services
from ..http.refusals import RefusedDevice, RefusedNetwork
from ..store.models import Device

# More than a person mistypes.
MANY = 100
LATELY = timedelta(minutes=15)
_MOST_NETWORKS = 3


def findings(devices: Sequence[Device], now: datetime) -> Iterator[Finding]:
    """Yield a finding for each device that is refused, and for addresses that try many secrets."""
    refused = refusals.of_devices()
    seconds = services().settings.device_offline_seconds
    for device in devices:
        last = refused.get(device.id)
        if last is None or last.last_at <= now - LATELY:
            continue
        # If the device logs in, it has the right password, and the refused ones were others.
        if not registry.is_online(device, now, seconds):
            yield _wrong_password(device, last, now)
    many = [one for one in refusals.recent() if one.refused_count >= MANY]
    for network in many[:_MOST_NETWORKS]:
        if network.last_at > now - LATELY:
            yield _attack(network, now)


def _wrong_password(device: Device, refused: RefusedDevice, now: datetime) -> Finding:
    return Finding(
        f"device {device.id}",
        "wrong",
        f"has been refused since {spans.since(refused.began_at, now)}: {refused.network or 'somebody'} uses its name "
        "with a wrong password",
        "if that is the phone, type its URL into the app again, or make a new password on its page: it reaches this "
        "server, so it is not the network",
    )


def _attack(network: RefusedNetwork, now: datetime) -> Finding:
    return Finding(
        "logins",
        "warning",
        f"{network.refused_count:,} were refused from {network.network or 'an unknown address'} since "
        f"{spans.since(network.began_at, now)}, the last at {spans.since(network.last_at, now)}",
        "if that is none of your programs with an old key, block the address at the proxy or firewall: each try is "
        "slowed down here, and correct keys are let in",
    )
