"""Runs `python -m smsgw …`."""

from . import program
from .cli.entry import root


def main() -> None:
    """Run the command line; the console script `smsgw` begins here too."""
    root(prog_name=program.line())


if __name__ == "__main__":
    main()
