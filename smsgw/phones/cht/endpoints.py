"""Serves the stock app, which polls one URL: it delivers what it has, and takes what is queued for it.

The phone forgets its batch at any 2xx with a JSON object and repeats it endlessly without one. So we answer 2xx only
after the commit, never redirect, and quarantine a bad item instead of refusing its batch.
"""

import codecs
import json
import re
from typing import Any

from flask import Blueprint, Response, request

from ... import clock
from ...core.devices import locking
from ...core.devices.logins import Login
from ...core.devices.protocols import CHT
from ...core.messages import (
    batches,
    handing_out,
    quarantine,
    receiving,
    report_rules,
    reports,
    unconfirmed,
)
from ...core.messages.handing_out import Outgoing
from ...core.messages.history import writing_history
from ...core.messages.quarantine import Unreadable
from ...core.messages.receiving import Received
from ...core.messages.reports import Report
from ...errors import DeviceDisabled, TooMany
from ...http import access, bodies, json_limits
from ...http.answers import error_answer, json_answer
from ...http.context import current_request, services
from ...http.guards import device_required, this_device
from ...sms import statuses
from ...sms.texts import storable

MAX_BODY_BYTES = 8 * 1024 * 1024
UPDATES_IN_A_FULL_POLL = 20
MAX_ID = 36

KNOWN = b'{"medic-gateway": true}'
NOTHING = b'{"messages": []}'
# Nearly all bodies are one of these; the stock app sends the first.
EMPTY_BODIES = frozenset(
    [b'{"messages":[],"updates":[]}', b'{"messages": [], "updates": []}', b"{}"]
)

STATUS = {
    "UNSENT": statuses.ACCEPTED,
    "PENDING": statuses.SENDING,
    "SENT": statuses.SENT,
    "DELIVERED": statuses.DELIVERED,
    "FAILED": statuses.FAILED,
}

blueprint = Blueprint("cht", __name__)
_APP_VERSION = re.compile(r"medic\.gateway\.alert\S*/(\S{1,40})")


@blueprint.get("/api/sms")
@device_required
def check() -> Response:
    """Answer the phone's check of its settings with `{"medic-gateway": true}`.

    The app checks whenever its settings are saved. A new app, or one whose data was cleared, cannot poll before it.
    """
    login = this_device()
    if request.method == "GET":
        with services().database.transaction() as session:
            unconfirmed.doubt(session, locking.admit(session, login), clock.now())
    _note_sighting(login)
    return json_answer(KNOWN)


@blueprint.post("/api/sms")
@device_required
def poll() -> Response:
    """Take the phone's messages and updates, and answer with the messages that it has to send."""
    login = this_device()
    body, unread = _read()
    received, unreadable = _messages(body.get("messages"))
    updates, bad_updates = _updates(body.get("updates"))
    bad_updates += unread
    _note_sighting(login, is_quiet=not (updates or bad_updates))
    unreadable += bad_updates
    if not (received or updates or unreadable or _has_work(login)):
        access.note_idle_poll(blueprint.name)
        return json_answer(NOTHING)
    is_full = bool(unread) or len(updates) + len(bad_updates) >= UPDATES_IN_A_FULL_POLL
    outgoing = _exchange(login, received, updates, unreadable, is_full)
    return bodies.pack(json_answer(json.dumps({"messages": outgoing})))


@blueprint.errorhandler(DeviceDisabled)
def _refuse_disabled(error: DeviceDisabled) -> Response:
    # While it checks its settings, the phone shows a helpful text for 401 only.
    status = 401 if request.method == "GET" else 403
    return error_answer(status, error.code, error.message)


@blueprint.errorhandler(TooMany)
def _slow_down(error: TooMany) -> Response:
    # While it checks its settings, the phone shows a helpful text for 401 only.
    status = 401 if request.method == "GET" else 429
    answer = error_answer(status, error.code, error.message)
    answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _has_work(login: Login) -> bool:
    if login.has_doubts:
        return True
    if not login.may_have_work:
        return False
    return handing_out.may_take(
        services().database, login.device_id, services().settings, clock.now()
    )


def _exchange(
    login: Login,
    received: list[Received],
    updates: list[Report],
    unreadable: list[Unreadable],
    is_full: bool,
) -> list[dict[str, str]]:
    """Run a poll's only write transaction: store SMS, apply reports, hand out messages. All happens or nothing."""
    settings = services().settings
    with services().database.transaction() as session:
        device = locking.admit(session, login, CHT)
        # Another poll of this device was committed after this one logged in: what this one reports may be older.
        has_overlapped = device.revision != login.revision + 1
        rule = report_rules.OUT_OF_ORDER if has_overlapped else report_rules.IN_ORDER
        with writing_history(session, clock.now()) as history:
            receiving.receive(session, device, settings.default_region, received, history)
            quarantine.keep(session, device.id, unreadable, history.now)
            reports.apply(session, device, updates, rule, settings, history)
            outgoing: list[Outgoing] = []
            # A poll from before the device was set up may come from another phone, or from one that has lost its data.
            if login.revision >= device.setup_revision:
                if login.has_doubts and not is_full:
                    history.write_changes(session)
                    unconfirmed.count_poll(session, device, history)
                # Where there was nothing to hand out at the login there is nothing now: no report makes a message due.
                if login.may_have_work or has_overlapped:
                    history.write_changes(session)
                    # After a poll with so many updates more may follow, and confirm what we would hand out again.
                    is_new_only = is_full or not (login.has_unconfirmed or has_overlapped)
                    hand_out = handing_out.hand_out_new if is_new_only else handing_out.hand_out
                    outgoing = hand_out(session, device, settings, history)
    return [{"id": one.id, "to": one.to, "content": one.content} for one in outgoing]


def _note_sighting(login: Login, is_quiet: bool = False) -> None:
    found = _APP_VERSION.search(current_request().environ.get("HTTP_USER_AGENT", ""))
    version = found.group(1) if found else None
    services().last_seen_writer.note(login, clock.now(), version, CHT, is_quiet)


def _read() -> tuple[dict[str, Any], list[Unreadable]]:
    """Return the body's JSON; nothing, and the body for the quarantine, where it has too many items to read."""
    raw = bodies.read(MAX_BODY_BYTES)
    if raw in EMPTY_BODIES:
        return {}, []
    excess = json_limits.find_excess(raw)
    if excess is not None and raw.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{":
        return {}, [batches.unread(raw, excess)]
    return bodies.parse_phones_object(raw), []


def _items(value: Any) -> list[Any]:
    """Return the list that was sent. Null, a missing key and an empty object mean an empty list."""
    if isinstance(value, list):
        return value
    return [value] if value else []


def _messages(value: Any) -> tuple[list[Received], list[Unreadable]]:
    good: list[Received] = []
    items, bad = batches.split(_items(value), "messages")
    for item in items:
        fault = _message_fault(item)
        if fault:
            bad.append(batches.unreadable(item, fault))
        else:
            good.append(_received(item))
    return good, bad


def _message_fault(item: Any) -> str | None:
    if not isinstance(item, dict):
        return "the message is not an object"
    phone_id = item.get("id")
    if not isinstance(phone_id, str) or not 1 <= len(phone_id) <= MAX_ID:
        return "the message's id is not a text of 1 to 36 characters"
    return receiving.fault(
        _text_of(item.get("from")),
        _text_of(item.get("content")),
        sender_name="the message's sender",
        content_name="the message's content",
    )


def _text_of(value: Any) -> str | None:
    """Return a text as the app sends it, where null is an empty one; `None` for what is no text."""
    return value or "" if isinstance(value, str | None) else None


def _received(item: dict[str, Any]) -> Received:
    return Received(
        phone_id=storable(item["id"]),
        from_number=storable(item.get("from") or ""),
        content=storable(item.get("content") or ""),
        device_received_at=clock.from_epoch_ms(item.get("sms_received")),
        sms_sent_at=clock.from_epoch_ms(item.get("sms_sent")),
    )


def _updates(value: Any) -> tuple[list[Report], list[Unreadable]]:
    good: list[Report] = []
    items, bad = batches.split(_items(value), "updates")
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]:
            good.append(_report(item))
        else:
            bad.append(batches.unreadable(item, "the update is not an object with an id"))
    return good, bad


def _report(item: dict[str, Any]) -> Report:
    word, reason = item.get("status"), item.get("reason")
    word = storable(word)[:40] if isinstance(word, str) and word else "unrecognised"
    return Report(
        dispatch_id=storable(item["id"])[: MAX_ID + 1],
        word=word,
        status=STATUS.get(word),
        reason=storable(reason) if isinstance(reason, str) else None,
    )
