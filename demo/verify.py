"""Verifies a webhook by Standard Webhooks with only the standard library; made to be copied."""

import base64
import hashlib
import hmac
import time
from email.message import Message

TOLERANCE_SECONDS = 300


class Forged(Exception):
    """The webhook is not authentic: the status to answer with, and the reason."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def verify(secret: str, headers: Message, body: bytes) -> None:
    """Check the signature. Raises `Forged` unless this body was signed within the last 5 minutes."""
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not stamp.isdecimal() or len(stamp) > 12:
        raise Forged(400, "webhook-id or webhook-timestamp is missing")
    if abs(time.time() - int(stamp)) > TOLERANCE_SECONDS:
        raise Forged(400, "the timestamp is more than 5 minutes off")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{id_}.{stamp}.".encode() + body  # the bytes received, not JSON serialised again
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split()  # several while a secret is rotated
    if not any(hmac.compare_digest(f"v1,{digest}".encode(), one.encode()) for one in given):
        raise Forged(401, "no signature matches")
