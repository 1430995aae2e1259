"""Stores CRMs, the devices they may use, operators, their passkeys, and the browsers in which they are signed in."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from ..tables import Table, partial_index

_IS_THERE = "removed_at IS NULL"


class Crm(Table):
    """A program that sends and receives SMS through us. `removed_at` keeps its messages explained.

    One that registered itself is not `approved` until an operator says so; until then it has its own devices alone.
    Of words and limits `None` is the default; a `loop_guard` of 0 is none. `key_used_at` is to the minute.
    """

    __tablename__ = "crms"
    __table_args__ = (
        partial_index(
            "uq_crms_name",
            "name",
            unique=True,
            where=_IS_THERE,
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    key_hash: Mapped[str] = mapped_column(unique=True)
    uses_all_devices: Mapped[bool]
    strict_numbers: Mapped[bool] = mapped_column(default=False)
    enabled: Mapped[bool] = mapped_column(default=True)
    queue_limit: Mapped[int | None]
    requests_per_minute: Mapped[int | None]
    stop_words: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    start_words: Mapped[list[str] | None] = mapped_column(sa.JSON(none_as_null=True))
    loop_guard: Mapped[int | None]
    sticky_sender: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    approved: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    created_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    key_used_at: Mapped[datetime | None]


class CrmDevice(Table):
    """A route: an operator lets this CRM use this device, whoever the device belongs to."""

    __tablename__ = "crm_devices"

    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True)
    device_id: Mapped[str] = mapped_column(
        sa.ForeignKey("devices.id"), primary_key=True, index=True
    )


class Operator(Table):
    """A person, with the role `viewer`, `clerk` or `operator`.

    A clerk sends and reads for all CRMs, or for those of `operator_crms`. `password_hash` (argon2id) and `totp_secret`
    are optional; `totp_step` is the time step of the last code that was accepted, because each is accepted once.
    """

    __tablename__ = "operators"
    __table_args__ = (sa.CheckConstraint("role IN ('viewer', 'clerk', 'operator')", name="role"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(default="operator", server_default="operator")
    key_hash: Mapped[str] = mapped_column(unique=True)
    uses_all_crms: Mapped[bool] = mapped_column(default=True, server_default=sa.true())
    password_hash: Mapped[str | None]
    totp_secret: Mapped[str | None]
    totp_step: Mapped[int | None] = mapped_column(sa.BigInteger)
    created_at: Mapped[datetime]


class OperatorCrm(Table):
    """A clerk sends and reads for this CRM."""

    __tablename__ = "operator_crms"

    operator_name: Mapped[str] = mapped_column(sa.ForeignKey("operators.name"), primary_key=True)
    crm_id: Mapped[str] = mapped_column(sa.ForeignKey("crms.id"), primary_key=True, index=True)


class BrowserSession(Table):
    """A browser in which a person is signed in, until 12 hours after `last_seen_at`.

    `operator_name` may be `SMSGW_OPERATOR_KEY`, which has no row in `operators`. `key_hash` is that of the person's key
    when the session began: a new key ends it. `confirmed_at` is when the person last typed a secret.
    """

    __tablename__ = "browser_sessions"

    id_hash: Mapped[str] = mapped_column(primary_key=True)
    operator_name: Mapped[str] = mapped_column(index=True)
    key_hash: Mapped[str]
    address: Mapped[str | None]
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime] = mapped_column(index=True)
    confirmed_at: Mapped[datetime]


class Passkey(Table):
    """A public key (WebAuthn) whose private half a device of the person keeps; it signs the person in.

    `id` is the credential's and `public_key` its COSE key, both in base64url. `challenged_at` is when the challenge was
    made that was signed last: an older one, and the same once more, are refused.
    """

    __tablename__ = "passkeys"

    id: Mapped[str] = mapped_column(primary_key=True)
    operator_name: Mapped[str] = mapped_column(sa.ForeignKey("operators.name"), index=True)
    name: Mapped[str]
    public_key: Mapped[str]
    sign_count: Mapped[int] = mapped_column(sa.BigInteger)
    challenged_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
