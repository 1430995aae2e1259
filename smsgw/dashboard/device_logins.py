"""Adds phones, and shows the login of a phone once: the URL for its app, and the same as a QR code."""

from typing import TYPE_CHECKING, NamedTuple

from .. import clock
from ..core.accounts import enrolment
from ..http.context import services
from ..lazy_imports import lazy
from . import addresses, forms

if TYPE_CHECKING:
    import segno
else:
    segno = lazy("segno")


class ShownLogin(NamedTuple):
    """The name of a phone, the URL for its app, and an image of the URL as a data URI."""

    device_id: str
    url: str
    qr: str


def add() -> ShownLogin:
    """Add the phone that the form names, and return its login."""
    device_id, phone = forms.text("device_id"), forms.text("phone") or None
    region = services().settings.default_region
    with services().database.transaction() as session:
        _, password = enrolment.add_with_password(session, device_id, phone, region, clock.now())
    return shown(device_id, password)


def shown(device_id: str, password: str) -> ShownLogin:
    """Return the login with this password."""
    url = enrolment.login_shape(device_id, password, addresses.for_phones())["url"]
    qr = segno.make_qr(url, error="m").svg_data_uri(scale=4, border=4, light="#fff")
    return ShownLogin(device_id, url, qr)
