"""Assembles the dashboard: its pages, its files, and the headers and errors that all of them share."""

import hashlib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, current_app, g, request, send_from_directory, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..core.accounts.roles import VIEWER
from ..core.messages import bulk_sheets
from ..errors import GatewayError, NotFound, TooMany
from ..http import answers
from ..http.guards import public
from ..store import outages
from . import (
    bulk,
    bulk_columns,
    bulk_progress,
    certificate_watch,
    challenges,
    conversation,
    conversations,
    crm,
    crm_list,
    delivery,
    device,
    device_actions,
    device_settings,
    devices,
    formatting,
    forms,
    limits,
    log,
    message,
    messages,
    myself,
    navigation,
    opt_outs,
    outage_words,
    overview,
    passkeys,
    people,
    rendering,
    segment_counter,
    send,
    sign_in,
    start,
    visitors,
    webhook,
    webhook_actions,
    webhooks,
)
from .blueprint import blueprint
from .guards import allows

# Importing them adds their views and their entries in the navigation.
PAGES = (
    overview,
    devices,
    device,
    device_actions,
    device_settings,
    messages,
    message,
    send,
    bulk,
    bulk_columns,
    bulk_progress,
    crm_list,
    crm,
    webhooks,
    webhook,
    webhook_actions,
    delivery,
    conversations,
    conversation,
    segment_counter,
    opt_outs,
    limits,
    people,
    log,
    start,
    myself,
    passkeys,
    sign_in,
)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex",
}
_STATIC = Path(__file__).parent / "static"
_A_YEAR = 31_536_000
_TOO_LARGE = (
    f"This is too large. A file may have {bulk_sheets.MOST_BYTES // 1024**2} MiB: split it."
)


def register(app: Flask) -> None:
    """Register the dashboard with the app."""
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=30),
        # The guards check the token, once they know who sends the form.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        # `Sec-Fetch-Site` says it better.
        WTF_CSRF_SSL_STRICT=False,
    )
    app.extensions[certificate_watch.EXTENSION] = certificate_watch.CertificateWatch()
    forms.csrf.init_app(app)
    sign_in.prepare(app)
    _prepare_templates(app)
    app.register_blueprint(blueprint)


@blueprint.get("/static/<path:name>")
@public
def static_file(name: str) -> Response:
    """Serve a file of the pages; its URL changes with its content."""
    return send_from_directory(_STATIC, name, max_age=_A_YEAR if "v" in request.args else 60)


@blueprint.get("/<path:name>")
@allows(VIEWER)
def missing(name: str) -> Response:
    """Say that there is no such page."""
    raise NotFound("There is no such page.")


@blueprint.after_request
def _add_headers(answer: Response) -> Response:
    answer.headers.update(_HEADERS)
    if request.endpoint != "dashboard.static_file":
        answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.errorhandler(GatewayError)
def _on_gateway_error(error: GatewayError) -> Any:
    answer = _with_form(error) or _error_page(answers.status_code(error), error.message)
    answer.status_code = answers.status_code(error)
    if isinstance(error, TooMany):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


@blueprint.errorhandler(HTTPException)
def _on_http_exception(error: HTTPException) -> Response:
    is_too_large = isinstance(error, RequestEntityTooLarge)
    return _error_page(
        error.code or 500, _TOO_LARGE if is_too_large else error.description or error.name
    )


@blueprint.errorhandler(Exception)
def _on_exception(error: Exception) -> Response:
    if outages.is_outage(error):
        outages.log.note(error)
        answer = _error_page(503, outage_words.text())
        answer.headers["Retry-After"] = str(answers.RETRY_AFTER_SECONDS)
        return answer
    current_app.logger.error(
        "%s %s failed: %s", request.method, request.path, type(error).__name__, exc_info=error
    )
    return _error_page(500, "Something went wrong on the server. It has been logged.")


def _with_form(error: GatewayError) -> Response | None:
    """Return the page of the form that was sent, filled as it was, if the form names its page."""
    if request.method != "POST" or g.get("person") is None:
        return None
    typed = forms.read()
    page = forms.local_path(typed.get(forms.PAGE, ""))
    if page is None or g.get("form_error") is not None:
        return None
    answer: Response = forms.show_again(page, request.path, typed, error)
    return answer


def _error_page(status: int, message: str) -> Response:
    title = (
        "Not found" if status == 404 else "Not allowed" if status == 403 else "That did not work"
    )
    if g.get("person") is None:
        return rendering.bare("error.html", status=status, title=title, message=message)
    return rendering.render(
        "error.html", title=title, state="wrong", status=status, message=message
    )


def _prepare_templates(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        time=formatting.time,
        number=formatting.number,
        sms_text=formatting.text,
        status=formatting.status,
        crm_names=formatting.crm_names,
        sentence=formatting.sentence,
        count=formatting.count,
        raw=formatting.raw,
        words=formatting.words,
        finding_text=formatting.finding_text,
        advice=formatting.advice,
        check_name=formatting.check_name,
        field_name=formatting.field_name,
        field_value=formatting.field_value,
        span=formatting.span,
    )
    app.jinja_env.globals.update(
        static=_static_url,
        form_of=forms.Form,
        csrf_token=forms.token,
        this_page=forms.page,
        is_below=navigation.is_below,
        allowed=visitors.is_allowed,
        offers_passkeys=challenges.are_offered,
        pairs=formatting.pairs,
    )


@cache
def _version(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]


def _static_url(name: str) -> str:
    return url_for("dashboard.static_file", name=name, v=_version(name))
