"""Runs the simulated phone for code without asyncio."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from demo.handset import Handset
from demo.pretend import Mode, Phone, Poll


class PhoneInHand:
    """A `Phone` for code without asyncio: the same steps, each finished when the call returns."""

    def __init__(self, url: str, mode: Mode = Mode.OK, **options: Any) -> None:
        self.phone = Phone(url, mode, **options)
        self.ledger = self.phone.ledger
        self._runner = asyncio.Runner()

    @property
    def handset(self) -> Handset:
        """The tables of the phone that is in use now."""
        return self.phone.handset

    def check(self) -> str:
        return self._runner.run(self.phone.check())

    def poll_once(self) -> Poll:
        return self._runner.run(self.phone.poll_once())

    def wake(self) -> list[Poll]:
        return self._runner.run(self.phone.wake())

    def receive(self, content: str, sender: str) -> Poll | None:
        return self._runner.run(self.phone.receive(content, sender))

    def close(self) -> None:
        self.phone.close()
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
