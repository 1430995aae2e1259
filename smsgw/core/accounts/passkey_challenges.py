"""Makes the challenges that passkeys (WebAuthn) sign, and the options for the browser's functions.

A passkey belongs to the name of the server, so there are some only where SMSGW_PUBLIC_URL is `https` with a name.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ...lazy_imports import lazy
from ...settings import Settings
from ...store.models import Operator, Passkey

if TYPE_CHECKING:
    import webauthn
    from webauthn.helpers import structs
else:
    webauthn = lazy("webauthn")
    structs = lazy("webauthn.helpers.structs")

_DEFAULT_PORT = 443


class RelyingParty(NamedTuple):
    """The server, as browsers know it: `id` is its name, `origin` the address without a path."""

    id: str
    origin: str


class Challenge(NamedTuple):
    """The random text that a passkey has to sign, in base64url, and when it was given to the browser."""

    text: str
    at: datetime


def relying_party(settings: Settings) -> RelyingParty | None:
    """Return the server's name for passkeys; `None` where its public URL is not `https` with a name."""
    parts = urlsplit(settings.public_url or "")
    if parts.scheme != "https" or not parts.hostname or _is_address(parts.hostname):
        return None
    try:
        name = parts.hostname.encode("idna").decode()
    except UnicodeError:
        return None
    port = "" if parts.port in (None, _DEFAULT_PORT) else f":{parts.port}"
    return RelyingParty(name, f"https://{name}{port}")


def new_challenge(now: datetime) -> Challenge:
    """Return a challenge of 256 bits."""
    return Challenge(secrets.token_urlsafe(32), now)


def options_to_add(
    party: RelyingParty, operator: Operator, passkeys: Sequence[Passkey], challenge: Challenge
) -> str:
    """Return what `navigator.credentials.create` takes, as JSON, for a person who has these passkeys."""
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name="smsgw",
        user_name=operator.name,
        user_id=_user_handle(operator),
        challenge=webauthn.base64url_to_bytes(challenge.text),
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            structs.PublicKeyCredentialDescriptor(id=webauthn.base64url_to_bytes(each.id))
            for each in passkeys
        ],
    )
    return webauthn.options_to_json(options)


def options_to_sign_in(party: RelyingParty, challenge: Challenge) -> str:
    """Return what `navigator.credentials.get` takes, as JSON; the person chooses one of their passkeys."""
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=webauthn.base64url_to_bytes(challenge.text),
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


def _user_handle(operator: Operator) -> bytes:
    """Return what names the person to their devices, and says nothing to others."""
    made = f"{operator.name}\0{operator.created_at.timestamp()}"
    return hashlib.sha256(made.encode()).digest()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
