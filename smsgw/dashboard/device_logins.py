"""Shows the login of a phone once: the URL to type into its app, and the same as a QR code."""

from typing import TYPE_CHECKING, NamedTuple

from ..core.accounts import enrolment
from ..lazy_imports import lazy
from . import addresses

if TYPE_CHECKING:
    import segno
else:
    segno = lazy("segno")


class ShownLogin(NamedTuple):
    """The name of a phone, the URL for its app, and an image of the URL as a data URI."""

    device_id: str
    url: str
    qr: str


def shown(device_id: str, password: str) -> ShownLogin:
    """Return the login with this password."""
    url = enrolment.login_shape(device_id, password, addresses.for_phones())["url"]
    qr = segno.make_qr(url, error="m").svg_data_uri(scale=4, border=4, light="#fff")
    return ShownLogin(device_id, url, qr)
