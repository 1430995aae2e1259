"""Builds the OpenAPI document, from which complete clients can be generated that work with later versions too."""

import json
from collections.abc import Iterator
from typing import Any

from . import operation_ids
from . import phones as phone_docs
from . import webhooks as webhook_docs
from .blueprint import Api

Json = dict[str, Any]

LICENCE = {"name": "Apache 2.0", "identifier": "Apache-2.0"}
METHODS = ("get", "put", "post", "patch", "delete")
_SCHEMAS = "#/components/schemas/"


def build(api: Api, introduction: str, public_url: str | None) -> Json:
    """Return the document: requests refuse unknown fields, and responses may contain fields of later versions."""
    made = api.spec.to_dict()
    document = {
        "openapi": made["openapi"],
        "info": {**made["info"], "description": introduction, "license": LICENCE},
        "servers": _servers(public_url),
        "tags": [*made["tags"], phone_docs.TAG, webhook_docs.TAG],
        "paths": {**made["paths"], **phone_docs.PATHS},
        "webhooks": webhook_docs.describe(),
        "components": made["components"],
    }
    for path, method, operation in each_operation(document):
        operation["operationId"] = operation_ids.id_of(method, path)
    _use_ecma_patterns(document)
    _shape_schemas(document)
    return document


def each_operation(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield the path, the method and the object of each operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _servers(public_url: str | None) -> list[Json]:
    here = {"url": "/", "description": "The server that provides this document."}
    return [{"url": public_url, "description": "This server."}, here] if public_url else [here]


def _use_ecma_patterns(node: Any) -> None:
    """Rewrite patterns for JavaScript, as JSON Schema requires: it has no `\\Z`, and its `$` is the end of the text."""
    for schema in _objects(node):
        if isinstance(schema.get("pattern"), str):
            schema["pattern"] = schema["pattern"].replace(r"\Z", "$")


def _shape_schemas(document: Json) -> None:
    """Allow unknown fields and enum values in responses and events, but not in requests."""
    schemas: Json = document["components"]["schemas"]
    taken: set[str] = set()
    for _, _, operation in each_operation(document):
        _collect(operation.get("requestBody"), schemas, taken)
    for name, schema in schemas.items():
        change = _spell_out_default if name in taken else _open
        for part in _objects(schema):
            change(part)


def _spell_out_default(schema: Json) -> None:
    """Move the default into the description: openapi-typescript makes a field with a default required."""
    if "default" in schema and "description" in schema:
        default = json.dumps(schema.pop("default"))
        schema["description"] = f"{schema['description']} Defaults to `{default}`."


def _open(schema: Json) -> None:
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    if "enum" in schema:
        words = [word for word in schema.pop("enum") if word is not None]
        schema["x-extensible-enum"] = words
        named = ", ".join(f"`{word}`" for word in words)
        schema["description"] = (
            f"{schema['description']} Currently one of {named}; more may be added."
        )


def _collect(node: Any, schemas: Json, found: set[str]) -> None:
    """Add the names of all schemas that the node refers to."""
    for part in _objects(node):
        name = str(part.get("$ref", "")).removeprefix(_SCHEMAS)
        if name in schemas and name not in found:
            found.add(name)
            _collect(schemas[name], schemas, found)


def _objects(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for item in list(items):
        yield from _objects(item)
