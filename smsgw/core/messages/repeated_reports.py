"""Finds which reports of a phone are new: a phone that got no answer repeats its reports."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from ...sms import statuses
from ...store.rows import DispatchRow
from .dispatches import ReportedDispatch

MAX_REASON = 500

# A word of the phone's and the reason it gave.
Words = tuple[str, str | None]


class _Said(Protocol):
    """A report, as far as the phone's words go."""

    @property
    def word(self) -> str:
        """Return the phone's own word."""

    @property
    def reason(self) -> str | None:
        """Return the reason the phone gave."""


S = TypeVar("S", bound=_Said)


def earlier_words(own: Mapping[str, ReportedDispatch]) -> dict[str, list[Words]]:
    """Return what the phone has said about each dispatch so far, in its order."""
    return {key: [(word, reason) for word, reason in row.reports or []] for key, row in own.items()}


def repeatable(
    earlier: dict[str, list[Words]], own: Mapping[str, DispatchRow], quiet_revision: int | None
) -> dict[str, list[Words]]:
    """Return the earlier words that the phone may repeat: none that were answered before a poll without reports."""
    if quiet_revision is None:
        return earlier
    return {
        key: said for key, said in earlier.items() if own[key].reported_revision > quiet_revision
    }


def without_repeats(
    by_dispatch: Mapping[str, Sequence[S]],
    earlier: Mapping[str, list[Words]],
    own: Mapping[str, DispatchRow],
) -> list[S]:
    """Return the reports that repeat nothing, dispatch by dispatch."""
    fresh: list[S] = []
    for dispatch_id in own:
        reports = by_dispatch[dispatch_id]
        said = [words_of(report) for report in reports]
        count = len(statuses.without_repeat(earlier.get(dispatch_id, []), said))
        fresh.extend(reports[len(reports) - count :])
    return fresh


def words_of(report: _Said) -> Words:
    """Return the words of a report as they are kept."""
    return report.word, report.reason[:MAX_REASON] if report.reason else None
