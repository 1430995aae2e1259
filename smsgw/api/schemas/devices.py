"""Describes devices in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...http.parsing import StrictSchema
from .descriptions import crm_id, crm_name, date_time, described, nullable, nullable_date_time, text
from .fields import PhoneNumber, StrictBoolean

_PHONE = described("Its own number, shown as `to` of what it receives.", example="+4930123456")


class NewDevice(StrictSchema):
    """A device to be added."""

    device_id = fields.String(
        required=True,
        validate=validate.Regexp(
            r"^[A-Za-z0-9._-]{1,64}\Z",
            error="Must be 1 to 64 letters, digits, dots, dashes and underscores.",
        ),
        metadata=described("Its name.", pattern="^[A-Za-z0-9._-]{1,64}$"),
    )
    phone = PhoneNumber(allow_none=True, validate=validate.Length(max=64), metadata=_PHONE)
    key = StrictBoolean(
        load_default=False,
        metadata=described(
            "Make a `gw_live_…` key instead of a password, for apps that ask for one."
        ),
    )


class DeviceChanges(StrictSchema):
    """What to change of a device; what is left out stays."""

    phone = PhoneNumber(allow_none=True, validate=validate.Length(max=64), metadata=_PHONE)
    enabled = StrictBoolean(metadata=described("Whether it is let in; its queue waits meanwhile."))
    crm = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=100),
        metadata=described("The CRM it belongs to, by id or name; null for the operators."),
    )


class NewSecret(StrictSchema):
    """Which kind of secret to make."""

    key = StrictBoolean(
        load_default=False, metadata=described("A `gw_live_…` key instead of a password.")
    )


class DeviceLogin(ma.Schema):
    """What to type into the phone's app, shown this once."""

    device_id = text("Its name.")
    username = text("The same, where an app asks for a user.")
    password = text("The secret.")
    url = text("For cht-gateway: all of it in one address.")


class DeviceSchema(ma.Schema):
    """A phone that sends and receives."""

    device_id = text("Its name.")
    phone = nullable("Its own number.")
    enabled = fields.Boolean(required=True, metadata=described("Whether it is let in."))
    online = fields.Boolean(required=True, metadata=described("Whether it was heard of lately."))
    last_seen_at = nullable_date_time("When it was last heard of.")
    app_version = nullable("Which version of its app it said it has.")
    queued_count = fields.Integer(
        required=True, metadata=described("Messages queued for it by name.")
    )
    in_flight_count = fields.Integer(
        required=True, metadata=described("Messages it was given and has not sent.")
    )
    unknown_report_count = fields.Integer(
        required=True, metadata=described("Reports about messages that are not from here.")
    )
    created_at = date_time("When it was added.")
    crm_id = crm_id("the CRM it belongs to; null for the operators' own")
    crm = crm_name()
    approved = fields.Boolean(
        metadata=described(
            "For operators: false while it waits for approval, having registered itself."
        )
    )


class Devices(ma.Schema):
    """Devices, by name."""

    data = fields.List(fields.Nested(DeviceSchema), required=True)
