"""Classifies a phone's failure reasons: whether a second try may succeed."""

import re

PERMANENT = "permanent"
TEMPORARY = "temporary"
LIMIT = "limit"
UNKNOWN = "unknown"
# Our own reasons: the number wants no more messages of this CRM; no phone may ever be handed so long a text.
OPTED_OUT = "opted_out"
OVERSIZED = "more segments than a device of this message may be handed in an hour or a day"

# Every reason cht-gateway gives in full. `Delivery failed: …` follows TP-Status, 3GPP 23.040 9.2.3.15: 0x40 to 0x5F
# is permanent, 0x60 to 0x7F temporary. The numbers behind `resultCode` are Android's `SmsManager.RESULT_…`.
REASONS = {
    "destination.invalid": PERMANENT,
    "no-service": TEMPORARY,
    "radio-off": TEMPORARY,
    "null-pdu": TEMPORARY,
    "generic; no errorCode supplied": UNKNOWN,
    "unknown; resultCode=5": LIMIT,  # more SMS in a while than Android lets an app send unasked
    "unknown; resultCode=6": PERMANENT,  # the SIM is set to fixed numbers only
    "unknown; resultCode=7": PERMANENT,  # premium short code, refused this time
    "unknown; resultCode=8": PERMANENT,  # premium short code, always refused
    "Delivery failed: Remote procedure error": PERMANENT,
    "Delivery failed: Incompatible destination": PERMANENT,
    "Delivery failed: Connection rejected by SME": PERMANENT,
    "Delivery failed: Not obtainable": PERMANENT,
    "Delivery failed: No interworking available": PERMANENT,
    "Delivery failed: SM Validity Period Expired": PERMANENT,
    "Delivery failed: SM Deleted by originating SME": PERMANENT,
    "Delivery failed: SM Deleted by SC Administration": PERMANENT,
    "Delivery failed: SM does not exist": PERMANENT,
    # One text for two statuses, the permanent 0x44 and the temporary 0x64.
    "Delivery failed: Quality of service not available": UNKNOWN,
    "Delivery failed: Congestion": TEMPORARY,
    "Delivery failed: SME busy": TEMPORARY,
    "Delivery failed: No response from SME": TEMPORARY,
    "Delivery failed: Service rejected": TEMPORARY,
    "Delivery failed: Error in SME": TEMPORARY,
}
# Reasons that end in a number or in the text of an exception.
BEGINNINGS = {
    "Delivery failed: Permanent error (Reserved": PERMANENT,
    "Delivery failed: SMSC-specific permanent error": PERMANENT,
    "Delivery failed: Temporary error (Reserved": TEMPORARY,
    "Delivery failed: SMSC-specific temporary error": TEMPORARY,
    # The phone's own word for a message without content.
    "Exception: java.lang.IllegalArgumentException: Invalid message body": PERMANENT,
}
_PREMIUM = (
    "Android lets the app send nothing to a premium number: compare the number, or allow it on the phone (Settings, "
    "Apps, Special app access, Premium SMS access)."
)
# The reasons in words for people who send messages, by the reason or else by its class.
_IN_WORDS = {
    "destination.invalid": "The phone does not take this for a number that it can send to: compare the number.",
    "no-service": "The phone had no network. Resend it when the phone has one again.",
    "radio-off": "The phone is in flight mode. Resend it when that is off.",
    "unknown; resultCode=6": "The SIM sends to fixed numbers only: change that in the phone's call settings, then "
    "resend it.",
    "unknown; resultCode=7": _PREMIUM,
    "unknown; resultCode=8": _PREMIUM,
    "Delivery failed: SM Validity Period Expired": "The network has given up, because the recipient's phone was off "
    "or out of reach for too long. Resend it later.",
    OPTED_OUT: "The number wants no more messages.",
    OVERSIZED: "The limits of its phones leave no room for so long a text: shorten it, or raise them and resend it.",
    LIMIT: "The phone may not send more for now, or its SIM has no credit. Resend it later.",
    PERMANENT: "Sending it again would fail in the same way: compare the number, or try another phone.",
    TEMPORARY: "Sending it again later may succeed.",
    "unconfirmed": "The phone did not say whether it sent it: it may have arrived.",
}
_GENERIC_IN_WORDS = "The network refused it without a reason: the number may be wrong or off, or the SIM has no credit."
# Reasons from apps of other protocols: Android's name for a result, or their own words.
_LIMIT_WORDS = re.compile(
    r"LIMIT[ _]EXCEEDED|\b(insufficient|no|not enough|out of|low)[ _-]+(credit|balance|funds)\b",
    re.I,
)
_GENERIC_WORDS = re.compile(r"generic(;|[ _]failure|$)|RESULT_ERROR_GENERIC_FAILURE", re.I)
# Reasons with which Android refuses an SMS before it gives it to the radio.
_NOT_SENT = ("unknown; resultCode=5", "RESULT_ERROR_LIMIT_EXCEEDED")


def classify(reason: str) -> str:
    """Return `permanent`, `temporary`, `limit` (Android's own limit on sending, or no credit) or `unknown`.

    `reason` is what the phone wrote into a FAILED update; a text nobody has seen before is `unknown`.
    """
    reason = reason.strip()
    if reason in REASONS:
        return REASONS[reason]
    for beginning, meaning in BEGINNINGS.items():
        if reason.startswith(beginning):
            return meaning
    return LIMIT if _LIMIT_WORDS.search(reason) else UNKNOWN


def in_words(reason: str, reason_class: str | None) -> str | None:
    """Return what the reason means and what to do, for people who send messages; `None` where nobody knows."""
    bare = reason.strip()
    if is_generic(bare):
        return _GENERIC_IN_WORDS
    return _IN_WORDS.get(bare) or _IN_WORDS.get(reason_class or "")


def is_generic(reason: str) -> bool:
    """Return whether the radio gave no reason: the network refused the SMS, which it also does without credit."""
    return _GENERIC_WORDS.match(reason.strip()) is not None


def is_refusal(reason: str) -> bool:
    """Return whether this surely means that an SMS of one segment was not sent: Android did not let the app send it."""
    return reason.strip() in _NOT_SENT
