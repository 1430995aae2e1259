"""Describes CRMs in requests and responses."""

import marshmallow as ma
from marshmallow import fields, validate

from ...core.accounts.crm_words import MOST_WORDS
from ...core.messages.recipients import DEFAULT_LOOP_GUARD, HIGHEST_LOOP_GUARD
from ...http.parsing import StrictSchema
from ...sms.opt_out_words import LONGEST
from .descriptions import (
    boolean,
    date_time,
    described,
    integer,
    list_of,
    nullable_date_time,
    nullable_names,
    text,
)
from .fields import BoundedList, StrictBoolean, StrictInteger, limit_or_setting

_DEVICE_IDS = described(
    "The operators' devices that the CRM may use; `null` means all of them, including those added later. A CRM may "
    "always use its own devices.",
    example=["phone-1"],
)
_DEVICE_ID = fields.String(validate=validate.Length(max=64))
MOST_DEVICES = 1000


class NewCrm(StrictSchema):
    """A new CRM."""

    name = fields.String(
        required=True,
        validate=validate.Length(min=1, max=100),
        metadata=described("A unique name for the CRM."),
    )
    callback_url = fields.String(
        allow_none=True,
        validate=validate.Length(min=1, max=2048),
        metadata=described(
            "The URL to send all of the CRM's events to; creates a webhook endpoint.", format="uri"
        ),
    )
    device_ids = BoundedList(_DEVICE_ID, most=MOST_DEVICES, allow_none=True, metadata=_DEVICE_IDS)


def _words(what: str) -> BoundedList:
    return BoundedList(
        fields.String(validate=validate.Length(min=1, max=LONGEST)),
        most=MOST_WORDS,
        allow_none=True,
        metadata=described(
            f"The words that {what}, when a message consists of one of them. Case, accents and surrounding punctuation "
            "do not matter. `null` applies the defaults, which cover several languages; an empty list disables this."
        ),
    )


class CrmChanges(StrictSchema):
    """Changes to a CRM; omitted fields keep their values."""

    name = fields.String(
        validate=validate.Length(min=1, max=100),
        metadata=described("A unique name for the CRM."),
    )
    enabled = StrictBoolean(metadata=described("Set to `false` to refuse the CRM's key."))
    queue_limit = limit_or_setting("The maximum number of the CRM's messages in the queue")
    requests_per_minute = limit_or_setting("The maximum number of the CRM's requests per minute")
    loop_guard = StrictInteger(
        allow_none=True,
        validate=validate.Range(min=0, max=HIGHEST_LOOP_GUARD),
        metadata=described(
            "How many times the same text can be queued for the same number within 30 minutes; further messages are "
            f"refused with the code `loop_guard`. 0 sets no limit; `null` applies the default, {DEFAULT_LOOP_GUARD}."
        ),
    )
    stop_words = _words("put a recipient's number on the CRM's opt-out list")
    start_words = _words("take the number off the list")
    sticky_sender = StrictBoolean(
        metadata=described(
            "Set to `true` to send messages without a `device_id` with the device that last talked with the number, as "
            "long as that device is online."
        )
    )
    strict_numbers = StrictBoolean(
        metadata=described(
            "Set to `true` to refuse numbers that are not complete international numbers (E.164)."
        )
    )
    device_ids = BoundedList(_DEVICE_ID, most=MOST_DEVICES, allow_none=True, metadata=_DEVICE_IDS)


class CrmSchema(ma.Schema):
    """A program that sends and receives SMS."""

    id = text("The ID of the CRM, `crm_…`.")
    name = text("The name of the CRM.")
    enabled = boolean("`true` if the CRM's key is accepted.")
    approved = boolean("`false` if the CRM registered itself and no operator has approved it yet.")
    strict_numbers = boolean("`true` if the CRM can send to complete international numbers only.")
    queue_limit = integer(
        "The maximum number of the CRM's messages in the queue; `null` applies `SMSGW_QUEUE_LIMIT`.",
        allow_none=True,
    )
    requests_per_minute = integer(
        "The maximum number of the CRM's requests per minute; `null` applies `SMSGW_REQUESTS_PER_MINUTE`.",
        allow_none=True,
    )
    stop_words = fields.List(
        fields.String(),
        required=True,
        metadata=described("The words that put a recipient's number on the opt-out list."),
    )
    start_words = fields.List(
        fields.String(),
        required=True,
        metadata=described("The words that take the number off the list."),
    )
    loop_guard = integer(
        "How many times the same text can be queued for the same number within 30 minutes; 0 sets no limit."
    )
    sticky_sender = boolean("`true` if a number is sent to by the device that it last talked with.")
    device_ids = nullable_names(
        "The operators' devices that the CRM may use besides its own; `null` means all of them."
    )
    created_at = date_time("The time the CRM was added.")
    key_used_at = nullable_date_time(
        "The time of the last request with the CRM's key, to the minute; `null` if the key was never used."
    )


class Crms(ma.Schema):
    """CRMs, oldest first."""

    data = list_of(CrmSchema)


class WebhookSecret(ma.Schema):
    """An endpoint and its signing secret, shown only once."""

    id = text("The ID of the endpoint, `whe_…`.")
    secret = text("The signing secret, `whsec_…`, for a Standard Webhooks library.")


class CrmKey(ma.Schema):
    """A CRM's new key, shown only once."""

    id = text("The ID of the CRM, `crm_…`.")
    name = text("The name of the CRM.")
    api_key = text("The API key, `crm_live_…`, to send as `Authorization: Bearer`.")


class CrmLogin(CrmKey):
    """The key and the webhook secret of a new CRM, shown only once."""

    webhook = fields.Nested(
        WebhookSecret,
        required=True,
        allow_none=True,
        metadata=described("The endpoint created for `callback_url`."),
    )
