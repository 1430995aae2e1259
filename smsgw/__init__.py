"""A self-hosted SMS gateway: phones on one side, programs on the other."""

__version__ = "0.2.0"
