"""Makes secrets for apps that show codes of six digits (TOTP, RFC 6238), and checks the codes."""

import hmac
from datetime import datetime
from typing import TYPE_CHECKING

from ...lazy_imports import lazy

if TYPE_CHECKING:
    import pyotp
else:
    pyotp = lazy("pyotp")

ISSUER = "smsgw"
_SECONDS = 30
# A phone's clock may be half a minute off.
_STEPS_OFF = (0, -1, 1)


def new_secret() -> str:
    """Return a secret of 160 bits in base32, to type or to scan."""
    return pyotp.random_base32()


def uri(secret: str, name: str) -> str:
    """Return what apps scan as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def find_step(secret: str, code: str, after: int | None, now: datetime) -> int | None:
    """Return the time step of this code; `None` if it is wrong, or not later than the step `after`."""
    digits = "".join(code.split())
    try:
        totp = pyotp.TOTP(secret)
    except ValueError:  # not one of ours
        return None
    present = int(now.timestamp()) // _SECONDS
    for step in (present + off for off in _STEPS_OFF):
        is_new = after is None or step > after
        if is_new and _is_same(digits, totp.generate_otp(step)):
            return step
    return None


def _is_same(typed: str, code: str) -> bool:
    return hmac.compare_digest(typed.encode("utf-8", "replace"), code.encode())
