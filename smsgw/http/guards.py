"""Checks who may call a view; `guard` on the view names the check for the structural test."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import unquote_to_bytes

from flask import Response, g, request
from flask_httpauth import HTTPBasicAuth

from .. import clock, ids
from ..core.accounts.operators import Access
from ..core.accounts.roles import OPERATOR
from ..core.devices import locking, logins
from ..core.devices.logins import Login
from ..errors import Forbidden
from ..store.rows import Caller
from . import credentials, key_kinds, masking, person_keys, rates, refusals
from .answers import error_answer
from .context import services

View = Callable[..., Any]

_basic = HTTPBasicAuth(realm="smsgw")


def check_admitted(login: Login) -> None:
    """Raise `DeviceWaiting` or `DeviceDisabled` for a device that is not admitted."""
    locking.check_admitted(login.approved, login.enabled)


def admit_crm(crm: Caller, *, may_repeat: bool = False) -> None:
    """Count the request of this CRM; raise `Forbidden` where it is disabled."""
    if not crm.enabled:
        raise Forbidden("this API key is disabled", code="crm_disabled")
    services().last_seen_writer.note_key(crm.id, clock.now())
    g._get_current_object().crm = rates.count(crm, may_repeat=may_repeat)


def readings(password: str) -> list[str]:
    """Return all possible readings of a password, the most likely first.

    The stock app percent-encodes the password, older versions send ISO-8859-1, and the user may have encoded it before
    typing it. Flask-HTTPAuth has decoded the bytes as UTF-8 or, failing that, as ISO-8859-1.
    """
    raw = [password.encode("utf-8", "surrogatepass")]
    for _ in range(2):
        raw.append(unquote_to_bytes(raw[-1]))
    texts = []
    for reading in dict.fromkeys(raw):
        texts.append(reading.decode("utf-8", "replace"))
        texts.append(reading.decode("latin-1"))
    return list(dict.fromkeys(texts))


def device_required(view: View) -> View:
    """Admit a device with Basic auth or `Bearer gw_live_…`; the view finds it with `this_device()`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        login = _find_login()
        if login is None:
            return error_answer(401, "unauthorized", key_kinds.refusal("device", _key()))
        g.device = login
        check_admitted(login)
        return view(*args, **kwargs)

    return _marked(guarded, "device")


def this_device() -> Login:
    """Return the calling device."""
    login: Login = g._get_current_object().device
    return login


def crm_required(view: View) -> View:
    """Admit a CRM with `Authorization: Bearer crm_live_…` or `X-API-Key`; the view finds it with `this_crm()`."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        crm = credentials.find_crm(_key())
        if crm is None:
            return _refuse_key("crm")
        admit_crm(crm)
        return view(*args, **kwargs)

    return _marked(guarded, "crm")


def crm_or_clerk_required(view: View) -> View:
    """Admit a CRM, or a clerk who acts for one: the view finds the CRM with `this_crm()`."""
    return _for_crm_or_clerk(view)


def sender_required(view: View) -> View:
    """Admit a CRM or a clerk even if the CRM's rate is used up; the view then answers only repeated `reference`s."""
    return _for_crm_or_clerk(view, may_repeat=True)


def operator_required(view: View) -> View:
    """Admit an operator with `Authorization: Bearer op_live_…`; not a clerk, not a viewer."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        person = person_keys.find(_key())
        if person is None:
            return _refuse_key("operator")
        person_keys.check_operator(person)
        return view(*args, **kwargs)

    return _marked(guarded, "operator")


def person_required(view: View) -> View:
    """Admit an operator, a clerk or a viewer; `this_access()` says which CRMs are theirs."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        person = person_keys.find(_key())
        if person is None:
            return _refuse_key("operator")
        g.access = person_keys.access(person)
        answer = view(*args, **kwargs)
        return masking.masked(answer) if person_keys.is_viewer(person) else answer

    return _marked(guarded, "person")


def crm_or_operator_required(view: View) -> View:
    """Admit a CRM to its objects, an operator or a viewer to all (`find_crm()` is `None`), and a clerk to either."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        key = _key()
        crm = credentials.find_crm(key)
        person = person_keys.find(key) if crm is None else None
        if crm is None and person is None:
            return _refuse_key("crm_or_operator")
        if person is not None:
            crm = person_keys.crm_to_read(person)
        if crm is not None:
            admit_crm(crm)
        answer = view(*args, **kwargs)
        is_masked = person is not None and person_keys.is_viewer(person)
        return masking.masked(answer) if is_masked else answer

    return _marked(guarded, "crm or operator")


def public(view: View) -> View:
    """Admit everybody."""
    return _marked(view, "public")


def this_crm() -> Caller:
    """Return the calling CRM."""
    crm: Caller = g._get_current_object().crm
    return crm


def this_access() -> Access:
    """Return the CRMs that are the calling person's."""
    access: Access = g.access
    return access


def find_crm() -> Caller | None:
    """Return the calling CRM, `None` if an operator calls."""
    crm: Caller | None = g.get("crm")
    return crm


def is_person() -> bool:
    """Return whether the key is one of a person, who may act for a CRM."""
    return g.get("operator_name") is not None


def caller() -> str:
    """Return the owner of the `Idempotency-Key`: the CRM's id, or `op:` and the operator's name."""
    crm = find_crm()
    return crm.id if crm is not None else f"op:{g.operator_name}"


def _find_login() -> Login | None:
    key = credentials.bearer()
    if key:
        login = credentials.find_device(key)
        if login is None:
            refusals.note_key("device", key)
        return login
    # Flask-HTTPAuth reads the header, because Werkzeug drops values that are not UTF-8. Its decorators are not used:
    # they take as long as finding out whether there is anything to send.
    given = _basic.get_auth()
    return _device_by_password(given.username, given.password) if given else None


def _device_by_password(username: str, password: str) -> Login | None:
    is_name = bool(username) and "\0" not in username
    login = logins.find(services().database, username, clock.now()) if is_name else None
    if login is None:
        # The name is not logged: if the URL was typed wrongly, it may be the password.
        refusals.note("device", "unknown_name")
        return None
    if not _is_password(password, login.secret_hash):
        refusals.note("device", "wrong_password", login.device_id)
        return None
    return login


def _is_password(password: str, secret_hash: str) -> bool:
    return ids.is_secret(password, secret_hash) or any(
        ids.is_secret(reading, secret_hash) for reading in readings(password)
    )


def _for_crm_or_clerk(view: View, *, may_repeat: bool = False) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        key = _key()
        crm = credentials.find_crm(key)
        person = person_keys.find(key) if crm is None else None
        if person is not None and person.role != OPERATOR:
            crm = person_keys.crm_to_act_for(person)
        if crm is None:
            return _refuse_key("crm")
        admit_crm(crm, may_repeat=may_repeat)
        return view(*args, **kwargs)

    return _marked(guarded, "crm or clerk")


def _key() -> str:
    return credentials.bearer() or request.headers.get("X-API-Key", "").strip()


def _refuse_key(caller: str) -> Response:
    key = _key()
    refusals.note_key(caller, key)
    text = key_kinds.refusal(caller.replace("_", " "), key)
    answer = error_answer(401, "unauthorized", text)
    answer.headers["WWW-Authenticate"] = 'Bearer realm="smsgw"'
    return answer


def _marked(view: View, guard: str) -> View:
    view.guard = guard  # type: ignore[attr-defined]
    return view
