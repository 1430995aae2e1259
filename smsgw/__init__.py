"""Connects phones that send SMS with programs: a self-hosted SMS gateway."""

__version__ = "0.2.0"
