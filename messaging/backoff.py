"""How long to wait after faults that follow one another, and since when they do."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

PASSING = timedelta(seconds=2)
"""What is over by then was no more than a restart."""


class Trouble(NamedTuple):
    """What keeps a loop from its work, in the words of its last fault (their first line: a
    database shows the statement below it)."""

    reason: str
    since: datetime


class Backoff:
    """Pauses that double from `first` to `longest` seconds, until it has gone well again."""

    def __init__(self, *, first: float = 0.1, longest: float = 2.0) -> None:
        self._first, self._longest = first, longest
        self._next = first
        self._trouble: Trouble | None = None

    def pause(self, error: Exception | None = None) -> float:
        """Seconds to wait after one more fault."""
        now, self._next = self._next, min(self._next * 2, self._longest)
        since = self._trouble.since if self._trouble else datetime.now(UTC)
        self._trouble = Trouble(str(error).partition("\n")[0], since)
        return now

    def went_well(self) -> None:
        """The next pause is the first one again."""
        self._next = self._first
        self._trouble = None

    def trouble(self) -> Trouble | None:
        """What has gone wrong again and again, if it is more than passing."""
        trouble = self._trouble
        lasts = trouble and datetime.now(UTC) - trouble.since > PASSING
        return trouble if lasts else None
