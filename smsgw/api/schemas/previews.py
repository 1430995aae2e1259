"""Describes the preview of a message."""

import marshmallow as ma
from marshmallow import fields, validate

from .descriptions import boolean, described, integer, list_of, text


class Sender(ma.Schema):
    """A device that may send the message."""

    device_id = text("The name of the device.")
    online = boolean("`true` if the device has contacted the server recently.")


class Preview(ma.Schema):
    """A message as it would be sent."""

    to = text("The recipient's number as the server would store it.")
    encoding = text("The encoding that would be used.", validate=validate.OneOf(("gsm7", "ucs2")))
    segments = integer("The number of SMS segments that the text needs.")
    units = integer("The length of the text: septets in `gsm7`, UTF-16 code units in `ucs2`.")
    units_per_segment = integer("The number of units that fit into each segment.")
    units_left = integer("The number of units that can be added before another segment is needed.")
    offending = fields.List(
        fields.String(),
        required=True,
        metadata=described("The characters that do not exist in `gsm7`, without repetitions."),
    )
    devices = list_of(Sender)
