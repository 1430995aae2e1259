"""Defines what a check finds: data, which `doctor`, `/readyz` and pages show each in their way."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """The result of a check: `state` is `ok`, `warning` or `wrong`; `advice` says what to do about the last two."""

    check: str
    state: str
    text: str
    advice: str = ""
