"""Describes the preview of a message."""

import marshmallow as ma
from marshmallow import fields, validate

from .descriptions import described, text


class Sender(ma.Schema):
    """A device that may send it."""

    device_id = text("Which device.")
    online = fields.Boolean(required=True, metadata=described("Whether it was heard of lately."))


class Preview(ma.Schema):
    """What would become of a message."""

    to = text("The number as it would be kept.")
    encoding = text("How it would go over the radio.", validate=validate.OneOf(("gsm7", "ucs2")))
    segments = fields.Integer(required=True, metadata=described("How many SMS it would take."))
    units = fields.Integer(
        required=True, metadata=described("Septets in `gsm7`, UTF-16 units in `ucs2`.")
    )
    units_per_segment = fields.Integer(
        required=True, metadata=described("The room in each segment.")
    )
    units_left = fields.Integer(
        required=True, metadata=described("What still fits before another segment begins.")
    )
    offending = fields.List(
        fields.String(),
        required=True,
        metadata=described("The characters that rule `gsm7` out, each once."),
    )
    devices = fields.List(
        fields.Nested(Sender), required=True, metadata=described("The devices that may send it.")
    )
