"""Decides which reported status may follow which, depending on how a protocol's reports arrive."""

from collections.abc import Callable
from dataclasses import dataclass

from ...sms import statuses


@dataclass(frozen=True)
class ReportRule:
    """The rule for reports: which status may follow which, and whether a poll without reports says that all before were
    answered. After such a poll the same words are no repeat: the radio, or a person, has tried again."""

    may_move: Callable[[str, str, str | None], bool]
    heeds_quiet: bool = False


def _is_forward(current: str, reported: str, _reason: str | None) -> bool:
    return statuses.may_overtake(current, reported)


def _is_forward_or_failed(current: str, reported: str, _reason: str | None) -> bool:
    if {current, reported} == {statuses.SENT, statuses.FAILED}:
        return reported == statuses.FAILED
    return statuses.may_overtake(current, reported)


# For reports that came one request after another.
IN_ORDER = ReportRule(statuses.may_follow, heeds_quiet=True)
# For reports of a request that overlapped another one of the same device.
OUT_OF_ORDER = ReportRule(_is_forward)
# For apps that say SENT at once and learn of a failure later: only forward, `failed` beyond `sent`.
NEVER_BACK = ReportRule(_is_forward_or_failed)
