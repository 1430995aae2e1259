"""The three ways in which an operator makes a device's login void."""

from sqlalchemy.orm import Session

from smsgw import clock
from smsgw.core.accounts import enrolment
from smsgw.store.models import Device


def remove(session: Session, device: Device) -> None:
    enrolment.remove(session, device, clock.now())


def disable(_session: Session, device: Device) -> None:
    device.enabled = False


def rotate(session: Session, device: Device) -> None:
    enrolment.rotate_key(session, device, clock.now())


LOSSES = (remove, disable, rotate)
