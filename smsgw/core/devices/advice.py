"""Says what to do about a phone that does not do its work: for `doctor`, and for the messages that wait for it."""

from typing import NamedTuple

from ... import program
from ...store.models import Device
from . import wording


class Advice(NamedTuple):
    """The next step, in words that follow an arrow; `page` is for a page that has buttons for the commands."""

    text: str
    page: str = ""

    def after(self, command: str) -> "Advice":
        """Return it with a command to begin with, which pages do not need."""
        return Advice(f"{command} {self.text}", self.page)


ABSENT = Advice(
    "is it on and online? Look at the log of its app: an error there is about the network or this server, and "
    "no attempt at all means that Android has stopped the app: switch battery optimisation off for it"
)
_RESET = "say on its page here that it has forgotten everything"
_FORGOTTEN = "If it was reinstalled, replaced or its data cleared:"


def never_seen(device: Device) -> Advice:
    """Return what to do about a device that was never seen."""
    return Advice(f"{wording.of(device).begin}. What it does shows here some seconds later")


def disabled(device: Device) -> Advice:
    """Return what to do about a device that is disabled while messages wait for it."""
    return Advice(program.line(f"device enable {device.id}"), "enable it on its page")


def forgotten(device: Device, look: str) -> Advice:
    """Return what to look at, and what to do if the phone has lost what it was handed."""
    reset = program.line(f"device reset {device.id}")
    return Advice(f"{look} {_FORGOTTEN} {reset}", f"{look} {_FORGOTTEN} {_RESET}")


def in_hand(device: Device) -> Advice:
    """Return what to do about messages that the device was handed and does not send."""
    return forgotten(device, "look at the app: is it sending, has it reception and credit?")


def paused(device: Device) -> Advice:
    """Return what to do about the pause of a device after failures."""
    look = "look at the phone: does Android ask whether the app may send more SMS, has its SIM credit? Lower its"
    return Advice(
        f"{look} limits ({program.line(f'device limit {device.id}')}), "
        f"then {program.line(f'device resume {device.id}')}",
        f"{look} limits, then end the pause",
    )


def limited(device: Device) -> Advice:
    """Return what to do about a limit that keeps messages from the device for long."""
    look = "wait, route another phone to its CRMs, or"
    return Advice(f"{look} {program.line(f'device limit {device.id}')}", f"{look} raise its limit")
