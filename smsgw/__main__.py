"""Runs `python -m smsgw …`."""

from . import program
from .lazy_imports import load


def main() -> None:
    """Run the command line; the console script `smsgw` begins here too."""
    load("smsgw.cli.entry").root(prog_name=program.line())


if __name__ == "__main__":
    main()
