"""Makes ids and secrets: time-ordered ids with a prefix that names their kind, and secrets kept as SHA-256."""

import base64
import hashlib
import hmac
import re
import secrets
import uuid

try:
    from uuid import uuid7  # type: ignore[attr-defined,unused-ignore]
except ImportError:  # before Python 3.14
    from uuid_utils import uuid7

_PASSWORD_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
# Comes before all events: a position from which everything that is kept follows.
FIRST_EVENT_ID = f"evt_{'0' * 32}"
_ID = re.compile(r"([a-z]{3})_[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def new_message_id() -> str:
    """Return `msg_` + 32 hex digits; later ids sort after earlier ones."""
    return _ordered("msg")


def new_event_id() -> str:
    """Return `evt_` + 32 hex digits, never with a dot (Standard Webhooks signs `id.timestamp.body`)."""
    return _ordered("evt")


def new_delivery_id() -> str:
    """Return `dlv_` + 32 hex digits."""
    return _ordered("dlv")


def new_attempt_id() -> str:
    """Return `att_` + 32 hex digits."""
    return _ordered("att")


def new_endpoint_id() -> str:
    """Return `whe_` + 32 hex digits: a webhook endpoint."""
    return _ordered("whe")


def new_opt_out_id() -> str:
    """Return `opt_` + 32 hex digits; later ids sort after earlier ones."""
    return _ordered("opt")


def new_audit_id() -> str:
    """Return `aud_` + 32 hex digits; later ids sort after earlier ones."""
    return _ordered("aud")


def new_crm_id() -> str:
    """Return `crm_` + 32 hex digits."""
    return _ordered("crm")


def is_id(text: str, prefix: str) -> bool:
    """Return whether the text is written like an id with this prefix, such as `msg`."""
    found = _ID.fullmatch(text)
    return found is not None and found[1] == prefix


def new_dispatch_id() -> str:
    """Return a random UUID: the phone keys its intents by the id's hash code, so ids must not be guessable or alike."""
    return str(uuid.uuid4())


def is_uuid(text: str) -> bool:
    """Return whether `text` is a UUID in the usual writing, in either case."""
    return _UUID.fullmatch(text) is not None


def new_password() -> str:
    """Return 20 lower-case letters and digits without look-alikes (99 bits): easy to type, equal in every encoding."""
    return "".join(secrets.choice(_PASSWORD_LETTERS) for _ in range(20))


def new_device_key() -> str:
    """Return `gw_live_` + 64 hex digits."""
    return f"gw_live_{secrets.token_hex(32)}"


def new_crm_key() -> str:
    """Return `crm_live_` + 64 hex digits."""
    return f"crm_live_{secrets.token_hex(32)}"


def new_operator_key() -> str:
    """Return `op_live_` + 64 hex digits."""
    return f"op_live_{secrets.token_hex(32)}"


def new_webhook_secret() -> str:
    """Return `whsec_` + 32 random bytes in base64, as Standard Webhooks writes secrets."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def hash_secret(secret: str) -> str:
    """Return the SHA-256 in hex. Enough for a secret of 99 bits or more, and it costs a microsecond per poll."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_secret(candidate: str, hashed: str) -> bool:
    """Return whether `candidate` is the secret that was hashed, in constant time."""
    return hmac.compare_digest(hash_secret(candidate), hashed)


def _ordered(prefix: str) -> str:
    return f"{prefix}_{str(uuid7()).replace('-', '')}"
