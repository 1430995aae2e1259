"""Describes devices in requests and responses."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.devices.silence_rules import REASONS
from ...http.parsing import StrictSchema
from . import descriptions
from .descriptions import (
    boolean,
    date_time,
    described,
    integer,
    nullable_date_time,
    text,
)
from .fields import PhoneNumber, StrictBoolean, limit_or_setting

_PHONE = described(
    "The phone's own number, shown as `to` in the messages that it receives.",
    example="+4930123456",
)


class NewDevice(StrictSchema):
    """A new device."""

    device_id = fields.String(
        required=True,
        validate=validate.Regexp(
            r"^[A-Za-z0-9._-]{1,64}\Z",
            error="Must be 1 to 64 letters, digits, dots, dashes and underscores.",
        ),
        metadata=described("A unique name for the device.", pattern="^[A-Za-z0-9._-]{1,64}$"),
    )
    phone = PhoneNumber(allow_none=True, validate=validate.Length(max=64), metadata=_PHONE)
    key = StrictBoolean(
        load_default=False,
        metadata=described(
            "Set to `true` to create a `gw_live_…` key instead of a password, for apps that ask for a key."
        ),
    )


class DeviceLimits(StrictSchema):
    """Changes to a device's own limits; omitted limits keep their values."""

    segments_per_minute = limit_or_setting("The most segments the device is given in 60 seconds")
    segments_per_hour = limit_or_setting("The most segments the device is given in 60 minutes")
    segments_per_day = limit_or_setting("The most segments the device is given in 24 hours")
    recipients_per_month = limit_or_setting(
        "The most numbers the device is given messages for in a calendar month (UTC)"
    )


class DeviceChanges(StrictSchema):
    """Changes to a device; omitted fields keep their values."""

    phone = PhoneNumber(allow_none=True, validate=validate.Length(max=64), metadata=_PHONE)
    enabled = StrictBoolean(
        metadata=described("Set to `false` to refuse the device; its queue waits meanwhile.")
    )
    crm = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=100),
        metadata=described(
            "The ID or name of the CRM that the device belongs to; `null` for the operators."
        ),
    )
    limits = fields.Nested(DeviceLimits)


class NewSecret(StrictSchema):
    """The kind of secret to create."""

    key = StrictBoolean(
        load_default=False,
        metadata=described("Set to `true` to create a `gw_live_…` key instead of a password."),
    )


class DeviceLogin(ma.Schema):
    """The login to enter in the phone's app, shown only once."""

    device_id = text("The name of the device.")
    username = text("The same name, for apps that ask for a user name.")
    password = text("The password or key.")
    url = text("The URL to enter in cht-gateway, which contains the name and the password.")


class DeviceState(ma.Schema):
    """A device, its presence and its queue."""

    device_id = text("The name of the device.")
    online = boolean("`true` if the device has contacted the server recently.")
    last_seen_at = descriptions.nullable_date_time("The last time the device contacted the server.")
    queued_count = integer("The number of queued messages that only this device may send.")
    in_flight_count = integer("The number of messages that the device was given and has not sent.")


def _own_limit() -> fields.Integer:
    return integer(
        "The device's own limit; `null` if the server's setting applies.", allow_none=True
    )


class OwnLimits(ma.Schema):
    """A device's own limits."""

    segments_per_minute = _own_limit()
    segments_per_hour = _own_limit()
    segments_per_day = _own_limit()
    recipients_per_month = _own_limit()


class LimitUsage(ma.Schema):
    """A limit and how much of it is used."""

    limit = integer("The limit that applies; `null` if there is none.", allow_none=True)
    used = integer(
        "What the device was given, whether or not it was sent; `null` without a limit.",
        allow_none=True,
    )


class Usage(ma.Schema):
    """The used part of each of a device's limits."""

    segments_per_minute = fields.Nested(LimitUsage, required=True)
    segments_per_hour = fields.Nested(LimitUsage, required=True)
    segments_per_day = fields.Nested(LimitUsage, required=True)
    recipients_per_month = fields.Nested(LimitUsage, required=True)


def _silence_reason() -> fields.String:
    return text(
        "`not_sending`: it is online and has work, and sends nothing. `not_receiving`: it sends, and has received "
        "nothing for days while other devices have. `no_delivery_reports`: it had delivery reports, and the last "
        "messages that it sent have none.",
        validate=validate.OneOf(REASONS),
    )


class SilenceSchema(ma.Schema):
    """Something that a device no longer does."""

    reason = _silence_reason()
    since = date_time("The time since which the device has not done it.")
    text = descriptions.text("What this means and what to do about it.")


class DeviceSchema(DeviceState):
    """A phone that sends and receives SMS."""

    phone = descriptions.nullable("The phone's own number.")
    enabled = boolean("`true` if the device may use the server.")
    app_version = descriptions.nullable("The version of its app, as the app reports it.")
    unknown_report_count = integer(
        "The number of its reports about messages that this server does not know."
    )
    silences = descriptions.list_of(SilenceSchema)
    limits = fields.Nested(OwnLimits, required=True)
    usage = fields.Nested(Usage, required=True)
    limited_until = nullable_date_time(
        "The time until which a limit, or a pause after failures, keeps messages from the device."
    )
    limited_reason = descriptions.nullable(
        "The limit that is used up, or the reason for the pause."
    )
    created_at = date_time("The time the device was added.")
    crm_id = descriptions.crm_id(
        "the ID of the CRM that the device belongs to; `null` if it is the operators'"
    )
    crm = descriptions.crm_name()
    approved = fields.Boolean(
        metadata=described(
            "For operators: `false` while a device that registered itself waits for approval."
        )
    )


class SilentDevice(DeviceSchema):
    """A device in an event about something that it no longer does, or does again."""

    reason = _silence_reason()
    since = date_time("The time since which the device has not done it, or did not.")
    text = descriptions.text("What this means and what to do about it.")


class Devices(ma.Schema):
    """Devices, sorted by name."""

    data = descriptions.list_of(DeviceSchema)
