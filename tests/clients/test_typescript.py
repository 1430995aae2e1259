"""What linters and TypeScript generators make of the document: no error, and clients that work."""

import json
from pathlib import Path

import pytest

from .conftest import Served, program

pytestmark = pytest.mark.timeout(600)
PLUGINS = ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk", "zod"]


def test_linters_find_no_error_and_typescript_clients_send_and_read_with_their_own_types(
    served: Served, npm_folder: tuple[Path, list[str]]
):
    """One test, because its hundreds of packages are installed once for each process that runs tests."""
    folder, node = npm_folder
    _lint_with_redocly(served, folder, node)
    _lint_with_spectral(served, folder, node)
    _generate(served, folder, node)
    served.run([*node, program(folder, "typescript"), "-p", "."], folder)
    served.run([*node, "out/program.js"], folder)


def _lint_with_redocly(served: Served, folder: Path, node: list[str]) -> None:
    lint = ["lint", str(served.document), "--extends=recommended"]
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    served.run([*node, program(folder, "@redocly/cli"), *lint], folder, **quiet)


def _lint_with_spectral(served: Served, folder: Path, node: list[str]) -> None:
    rules = folder / "spectral.yaml"
    rules.write_text('extends: ["spectral:oas"]\n')
    lint = ["lint", str(served.document), "--ruleset", str(rules), "--fail-severity", "error"]
    served.run([*node, program(folder, "@stoplight/spectral-cli"), *lint], folder)


def _generate(served: Served, folder: Path, node: list[str]) -> None:
    document = str(served.document)
    settings = {"input": document, "output": "hey", "plugins": PLUGINS}
    (folder / "hey.config.cjs").write_text(f"module.exports = {json.dumps(settings)}")
    served.run([*node, program(folder, "openapi-typescript"), document, "-o", "api.d.ts"], folder)
    served.run([*node, program(folder, "@hey-api/openapi-ts"), "-f", "hey.config.cjs"], folder)
