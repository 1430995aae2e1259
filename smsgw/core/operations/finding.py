"""Defines what a check finds: data, which `doctor`, `/readyz` and pages show each in their way."""

from dataclasses import dataclass

from ..devices.advice import Advice


@dataclass(frozen=True)
class Finding:
    """The result of a check: `state` is `ok`, `warning` or `wrong`; `advice` says what to do about the last two.

    `page_advice` says it without commands, for a page that has a button for what they do.
    """

    check: str
    state: str
    text: str
    advice: str = ""
    page_advice: str = ""

    @property
    def step(self) -> Advice:
        """Return both kinds of advice."""
        return Advice(self.advice, self.page_advice)
