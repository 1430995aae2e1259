"""Provides a blueprint that documents its routes, guards, bodies and responses in OpenAPI."""

import http
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import flask_smorest
import marshmallow as ma
from flask import Flask
from flask_smorest.utils import prepare_response

from ...http import bodies
from ...http.parsing import StrictParser, StrictSchema
from ..schemas.devices import SilentDevice
from .security import CLERKS_CRM, SECURITY, SECURITY_SCHEMES

View = Callable[..., Any]
Decorator = Callable[[View], View]

TITLE = "SMS gateway"
IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": (
        "A unique value for each request, such as a UUID. If you repeat a request with the same key and body within 24 "
        "hours, nothing is done again, and you get the first response with the header `Idempotency-Replayed: true`. "
        "The same key with another body gets a 409 `idempotency_key_used`. Responses that contain a secret are not "
        "stored: a repeat gets a 409 `secret_shown_once`."
    ),
    "example": "5f0c7f5e-52b1-4f0e-a0c5-6f0f0c7b7d1e",
}
ERRORS = {
    400: ("The request could not be read.", "bad_json", "the body is not JSON in UTF-8"),
    401: ("The API key is missing or wrong.", "unauthorized", "no API key, or a wrong one"),
    403: (
        "The key is disabled, or the role of its owner does not allow this.",
        "crm_disabled",
        "this API key is disabled",
    ),
    404: (
        "The object does not exist or belongs to somebody else.",
        "not_found",
        "no message 'msg_1'",
    ),
    409: (
        "The request conflicts with the current state; nothing was changed.",
        "conflict",
        "the reference 'visit-4711' was used before for another message",
    ),
    422: (
        "A field is invalid or unknown; `details` names it.",
        "invalid",
        "content: Missing data for required field.",
    ),
    429: (
        "The CRM's queue is full or its request rate is used up; try again after `Retry-After` seconds.",
        "queue_full",
        "the queue of this CRM is full: 10,000 of at most 10,000 messages wait in it",
    ),
    503: (
        "The database is unavailable; try again after `Retry-After` seconds.",
        "database_unavailable",
        "the database is unavailable; try again in a few seconds",
    ),
}


class Error(ma.Schema):
    """The body of every error."""

    error = ma.fields.Boolean(required=True, metadata={"description": "Always `true`."})
    code = ma.fields.String(
        required=True,
        metadata={
            "description": "The error code, for programs; it does not change between versions."
        },
    )
    message = ma.fields.String(
        required=True, metadata={"description": "The error message, for people, in English."}
    )
    details = ma.fields.Dict(
        required=True,
        metadata={
            "description": "Details for programs, such as the errors of each field: at most 1,000 entries and 64 KiB. "
            "`truncated` is `true` if some were left out."
        },
    )


class DocumentedBlueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint under `/api/v1`.

    The decorators of a view follow this order: `on`, `answers`, `fails` (or `removes`), the guard, `takes`.
    """

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, __name__, url_prefix="/api/v1", description=description)
        self._prepare_doc_cbks.append(_document_guard)
        self.after_request(bodies.pack)

    def on(self, method: str, rule: str) -> Decorator:
        """Route requests for this URL to the view."""
        decorate: Decorator = self.route(rule, methods=[method])
        return decorate

    def removes(self, rule: str, description: str) -> Decorator:
        """Route DELETE requests for this URL to the view, and document 204 and 404."""

        def decorate(view: View) -> View:
            documented = self.answers(204, None, description)(self.fails(404)(view))
            return self.on("DELETE", rule)(documented)

        return decorate

    def takes(
        self, schema: type[StrictSchema], location: str = "json", examples: Any = None
    ) -> Decorator:
        """Pass the view what the schema reads from the body, or from the URL with `location="query"`."""
        wanted, parser = schema(), self.ARGUMENTS_PARSER
        more = {"examples": examples} if examples else {}
        document = _only_documenting(self.arguments(wanted, location=location, **more))
        read = partial(parser.parse, wanted, location=location)
        if location == "json":
            read = partial(parser.read_body, wanted)

        def decorate(view: View) -> View:
            @wraps(view)
            def reading(*args: Any, **kwargs: Any) -> Any:
                return view(*args, read(), **kwargs)

            return document(reading)

        return decorate

    def answers(
        self, status: int, schema: Any, description: str, example: Any = None, headers: Any = None
    ) -> Decorator:
        """Document a response; the view builds it itself, because serialising with a schema is slow."""
        return _only_documenting(
            self.response(status, schema, description=description, example=example, headers=headers)
        )

    def fails(self, *statuses: int) -> Decorator:
        """Document the errors that this view may return, besides those that all views share."""

        def decorate(view: View) -> View:
            for status in statuses:
                document = self.alt_response(status, http.HTTPStatus(status).name)
                view = _only_documenting(document)(view)
            return view

        return decorate

    def _store_endpoint_docs(
        self, endpoint: str, obj: View, parameters: Any, tags: Any, **options: Any
    ) -> None:
        super()._store_endpoint_docs(endpoint, obj, parameters, tags, **options)
        for method in options["methods"]:
            self._docs[endpoint][method.lower()]["guard"] = obj.guard  # type: ignore[attr-defined]


class Api(flask_smorest.Api):  # type: ignore[misc]
    """Collects the documentation of the blueprints; `http.answers` still handles all errors."""

    ERROR_SCHEMA = Error

    def _register_error_handlers(self) -> None:
        """Register nothing, so that the app's own error handlers stay."""

    def _register_pagination_header(self) -> None:
        """Register nothing, because pages have no header."""

    def _register_responses(self) -> None:
        super()._register_responses()
        for status in ERRORS:
            response = _error_response(status)
            prepare_response(response, self.spec, self.DEFAULT_RESPONSE_CONTENT_TYPE)
            self.spec.components.response(http.HTTPStatus(status).name, response, lazy=True)


def make_api(app: Flask, version: str) -> Api:
    """Return the collector for this app."""
    api = Api(
        app,
        spec_kwargs={"title": TITLE, "version": version, "openapi_version": "3.1.0"},
    )
    for name, scheme in SECURITY_SCHEMES.items():
        api.spec.components.security_scheme(name, scheme)
    # Only events have it, and no operation.
    api.spec.components.schema("SilentDevice", schema=SilentDevice)
    return api


def _only_documenting(decorate: Decorator) -> Decorator:
    """Return a decorator that keeps what flask-smorest notes of a view, without its wrapper around each call."""

    def document(view: View) -> View:
        view._apidoc = decorate(view)._apidoc  # type: ignore[attr-defined]
        return view

    return document


def _document_guard(
    doc: dict[str, Any], doc_info: dict[str, Any], *, method: str, **_more: Any
) -> dict[str, Any]:
    guard = doc_info["guard"]
    doc["security"] = SECURITY[guard]
    responses = {str(status): response for status, response in doc["responses"].items()}
    common = {400, 401, 403, 429, 503} if "crm" in guard else {400, 401, 403, 503}
    for status in common:
        responses.setdefault(str(status), http.HTTPStatus(status).name)
    responses.setdefault("default", "DEFAULT_ERROR")
    if guard == "crm or clerk":
        doc.setdefault("parameters", []).append(CLERKS_CRM)
    if method == "post":
        doc.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
        responses.setdefault("409", "CONFLICT")
    doc["responses"] = dict(sorted(responses.items()))
    return doc


def _error_response(status: int) -> dict[str, Any]:
    description, code, message = ERRORS[status]
    example = {"error": True, "code": code, "message": message, "details": {}}
    if status == 422:
        example["details"] = {"content": ["Missing data for required field."]}
    return {"description": description, "schema": Error, "example": example}
