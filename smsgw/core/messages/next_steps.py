"""Says what to do about a message: for `message`, for its page and, where it finds the same, for `doctor`."""

import shlex

from ... import program
from ...sms import reasons, statuses
from ...store.models import Crm, Message
from ..devices.advice import Advice
from . import resending

_SOON = "nothing for a few minutes. If it still waits here then:"
_PHONES_WORDS = "The phone gave a reason that is not known here: look at its app."
_ENDED = (statuses.CANCELLED, statuses.EXPIRED, statuses.FAILED)


def held(message_id: str = "ID") -> Advice:
    """Return what to do about what is held since a restore or a copy that was given up."""
    look = "find out whether it was sent since. If it was:"
    release = program.line("release")
    return Advice(
        f"{look} {program.line(f'cancel {message_id}')}; if not: {release}, which lets phones send all that is held "
        "(with --cancel it cancels all)",
        f"{look} cancel it; if not: run '{release}' on the server, which lets phones send all that is held",
    )


def paused() -> Advice:
    """Return what to do about what is paused with the bulk it was queued with."""
    resume = "resume it or cancel the rest: what waits expires"
    return Advice(f"on the dashboard's page Bulk, {resume}", resume)


def scheduled(message_id: str) -> Advice:
    """Return what to do about what waits for its time."""
    cancel = program.line(f"cancel {message_id}")
    return Advice(
        f"nothing until then; {cancel} stops it", "nothing until then; it can be cancelled"
    )


def enable_crm(crm: Crm) -> Advice:
    """Return what to do about messages of a disabled CRM."""
    return Advice(program.line(f"crm enable {shlex.quote(crm.name)}"), "enable the CRM on its page")


def route_phone(crm: Crm) -> Advice:
    """Return what to do about messages of a CRM that may use no phone."""
    route = program.line(f"crm route {shlex.quote(crm.name)} --device ID")
    return Advice(f"{route}, or {program.line('device add NAME')}", "route a phone to the CRM")


def route_again(crm: Crm, message: Message) -> Advice:
    """Return what to do about a message for a phone that its CRM may not use any more."""
    cancel = program.line(f"cancel {message.id}")
    return Advice(f"{cancel}, and queue it anew for another phone of {crm.name}", "cancel it")


def next_poll() -> Advice:
    """Return what to do about a message that a phone should fetch soon."""
    return Advice(f"{_SOON} {program.line('doctor')}", f"{_SOON} see on the overview what is wrong")


def soon(then: Advice) -> Advice:
    """Return the advice for the case that waiting for some minutes is not enough."""
    return Advice(*(f"{_SOON} {words}" for words in (then.text, then.page or then.text)))


def stuck(message_id: str = "ID") -> Advice:
    """Return what to do about a message that a phone has had for too long."""
    look = "look at the phone. If it has not sent it:"
    resend = program.line(f"resend {message_id} --may-duplicate")
    return Advice(f"{look} {resend}", f"{look} resend it, though it may arrive twice")


def ended(message: Message) -> Advice | None:
    """Return what to do about a message that ended without being delivered; `None` for any other."""
    if message.direction == "inbound" or message.status not in _ENDED:
        return None
    if message.status == statuses.CANCELLED:
        return Advice("it was not sent. If it should be, queue it anew")
    if message.content is None:
        return Advice("its text was removed after the retention time, so it cannot be sent again")
    if message.status == statuses.EXPIRED:
        words = "No phone took it in time. See whether phones come now"
        return _resend(message, f"{words} ({program.line('doctor')}), then:", words)
    words = reasons.in_words(message.reason or "", message.reason_class) or _PHONES_WORDS
    if message.reason == reasons.OPTED_OUT:
        remove = program.line(f"opt-out remove {message.to_number} --crm NAME")
        return Advice(f"{words} Only if its owner asks for them again: {remove}", words)
    if message.reason_class == reasons.PERMANENT:
        return Advice(words)
    if resending.may_arrive_twice(message):
        return _resend(message, f"{words} If it did not:", words)
    return _resend(message, words, words)


def _resend(message: Message, words: str, page: str) -> Advice:
    option = " --may-duplicate" if resending.may_arrive_twice(message) else ""
    return Advice(f"{words} {program.line(f'resend {message.id}{option}')}", page)
