"""Generated Python clients: they import, send, read, and take what a later version may say."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..conftest import missing
from .conftest import HERE, Served

pytestmark = pytest.mark.timeout(600)


def _use(served: Served, script: str, generated: Path) -> None:
    served.run([sys.executable, str(HERE / script)], HERE, PYTHONPATH=str(generated))


def test_the_client_of_openapi_python_client(served: Served, tmp_path: Path):
    generate = ["generate", "--path", str(served.document), "--meta", "none"]
    output = ["--output-path", str(tmp_path / "sms_client"), "--overwrite"]
    command = [sys.executable, "-m", "openapi_python_client", *generate, *output]
    served.run(command, tmp_path)
    _use(served, "use_openapi_python_client.py", tmp_path)


def test_the_client_of_openapi_generator(served: Served, tmp_path: Path):
    java = shutil.which("java")
    spec = find_spec("openapi_generator_cli")
    if java is None or spec is None or spec.origin is None:
        missing("java or the package openapi-generator-cli is not installed")
    jar = Path(spec.origin).parent / "openapi-generator.jar"
    generate = ["generate", "-i", str(served.document), "-g", "python", "-o", str(tmp_path)]
    # One compiler is enough for so short a run.
    flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-jar", str(jar)]
    served.run([java, *flags, *generate, "--skip-validate-spec"], tmp_path)
    _use(served, "use_openapi_generator.py", tmp_path)
