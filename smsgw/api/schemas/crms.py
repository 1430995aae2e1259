"""Describes CRMs in requests and answers."""

import marshmallow as ma
from marshmallow import fields, validate

from ...http.parsing import StrictSchema
from ...settings import HIGHEST_LIMIT
from .descriptions import date_time, described, text
from .fields import BoundedList, StrictBoolean, StrictInteger

_DEVICE_IDS = described(
    "The operators' devices it may use; null means all of them, future ones too. Its own it always may.",
    example=["phone-1"],
)
_DEVICE_ID = fields.String(validate=validate.Length(max=64))
MOST_DEVICES = 1000


class NewCrm(StrictSchema):
    """A CRM to be added."""

    name = fields.String(
        required=True,
        validate=validate.Length(min=1, max=100),
        metadata=described("What people call it; no two have the same."),
    )
    callback_url = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=2048),
        metadata=described(
            "Where it wants all its events: makes a webhook endpoint.", format="uri"
        ),
    )
    device_ids = BoundedList(_DEVICE_ID, most=MOST_DEVICES, allow_none=True, metadata=_DEVICE_IDS)


def _limit(description: str) -> StrictInteger:
    return StrictInteger(
        allow_none=True,
        validate=validate.Range(min=1, max=HIGHEST_LIMIT),
        metadata=described(f"{description}; null means the server's setting."),
    )


class CrmChanges(StrictSchema):
    """What to change of a CRM; what is left out stays."""

    name = fields.String(
        validate=validate.Length(min=1, max=100), metadata=described("What people call it.")
    )
    enabled = StrictBoolean(metadata=described("Whether its key is accepted."))
    queue_limit = _limit("How many of its messages may wait in the queue")
    requests_per_minute = _limit("How many requests it may make in a minute")
    strict_numbers = StrictBoolean(
        metadata=described("Refuse numbers that are not complete international ones (E.164).")
    )
    device_ids = BoundedList(_DEVICE_ID, most=MOST_DEVICES, allow_none=True, metadata=_DEVICE_IDS)


class CrmSchema(ma.Schema):
    """A program that sends and receives SMS."""

    id = text("Ours, `crm_…`.")
    name = text("What people call it.")
    enabled = fields.Boolean(required=True, metadata=described("Whether its key is accepted."))
    approved = fields.Boolean(
        required=True,
        metadata=described("Whether an operator knows it; false for one that registered itself."),
    )
    strict_numbers = fields.Boolean(
        required=True,
        metadata=described("Whether it sends to complete international numbers only."),
    )
    queue_limit = fields.Integer(
        required=True,
        allow_none=True,
        metadata=described("How many of its messages may wait; null: `SMSGW_QUEUE_LIMIT`."),
    )
    requests_per_minute = fields.Integer(
        required=True,
        allow_none=True,
        metadata=described("How many requests it may make; null: `SMSGW_REQUESTS_PER_MINUTE`."),
    )
    device_ids = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata=described(
            "The devices it may use; null means all of the operators', and its own."
        ),
    )
    created_at = date_time("When it was added.")


class Crms(ma.Schema):
    """CRMs, oldest first."""

    data = fields.List(fields.Nested(CrmSchema), required=True)


class WebhookSecret(ma.Schema):
    """An endpoint and the secret that signs for it, shown this once."""

    id = text("Ours, `whe_…`.")
    secret = text("`whsec_…`, for a Standard Webhooks library.")


class CrmKey(ma.Schema):
    """A CRM's new key, shown this once."""

    id = text("Ours, `crm_…`.")
    name = text("What people call it.")
    api_key = text("`crm_live_…`: its `Authorization: Bearer`.")


class CrmLogin(CrmKey):
    """All a new CRM needs to know, shown this once."""

    webhook = fields.Nested(
        WebhookSecret,
        required=True,
        allow_none=True,
        metadata=described("The endpoint made for `callback_url`."),
    )
