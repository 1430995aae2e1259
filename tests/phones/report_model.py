"""A model of what a phone's reports mean, written from the protocol alone, for `test_report_model`.

A request's first words that are the end of what was said before are a repeat, unless a request without reports lies
between. SENT is only left by DELIVERED or a negative delivery report, DELIVERED never. A request that another one
overtook moves forward only. Soon after a failure, and after SENT, words that were said before may be late ones, unless
the same request moved the status before them. A failure that was only assumed is as if nothing had been said.
"""

from dataclasses import dataclass, field

Word = tuple[str, str | None]
STATUS = {
    "UNSENT": "accepted",
    "PENDING": "sending",
    "SENT": "sent",
    "DELIVERED": "delivered",
    "FAILED": "failed",
}
RANK = ["dispatched", "accepted", "sending", "failed", "sent", "delivered"]
LATE_SECONDS = 300
ASSUMED = "assumed"


@dataclass
class Model:
    """One dispatch: its status, and the events of its message after the hand-out."""

    status: str = "dispatched"
    events: list[str] = field(default_factory=list)
    said: list[Word] = field(default_factory=list)
    answered: int = 0
    moved_at: float = 0
    reason: str | None = None

    def request(self, words: list[Word], at: float, is_overtaken: bool = False) -> None:
        before, repeatable = list(self.said), self.said[0 if is_overtaken else self.answered :]
        lengths = range(min(len(repeatable), len(words)) + 1)
        repeat = max(n for n in lengths if repeatable[len(repeatable) - n :] == words[:n])
        for word in words[repeat:]:
            self.said.append(word)
            is_late = self.status in ("sent", "delivered") or (
                self.status == "failed" and at - self.moved_at < LATE_SECONDS
            )
            if not (word in before and is_late) and self._may_move(word, is_overtaken):
                self._move(STATUS[word[0]], word[1], at)
                before = []

    def idle(self) -> None:
        """A request without reports: all before it were answered."""
        self.answered = len(self.said)

    def assume_failure(self, at: float) -> None:
        self._move("failed", ASSUMED, at)

    def _may_move(self, word: Word, is_overtaken: bool) -> bool:
        now = "dispatched" if self.reason == ASSUMED else self.status
        to = STATUS.get(word[0])
        if to is None or now == "delivered":
            return False
        if is_overtaken:
            return RANK.index(to) > RANK.index(now)
        if now == "sent":
            return to == "delivered" or (word[1] or "").startswith("Delivery failed")
        return to != now or to == "failed"

    def _move(self, to: str, reason: str | None, at: float) -> None:
        is_retry_of_radio = (self.status, to) == ("sending", "accepted")
        if to != "sending" and not is_retry_of_radio and (to, reason) != (self.status, self.reason):
            self.events.append(f"message.{to}")
        self.status, self.reason, self.moved_at = to, reason, at
