"""How long the shop took to recover from a fault, from when its checkouts began and ended; pure.

A checkout is late when it ends more than LATE_SECONDS after it was meant to start. The shop has
recovered from a fault at the first moment, from the fault's end on, at which no more late checkouts
are under way than were late already when the fault began, and for QUIET_SECONDS no further one
begins. So while faults overlap, the later one's lateness counts for both.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LATE_SECONDS = 2.0
QUIET_SECONDS = 1.0


class Lasted(NamedTuple):
    """A checkout from when it was meant to start to its end; infinite where it has none."""

    started_at: float
    ended_at: float


class Lateness:
    """How many late checkouts were under way at each moment."""

    def __init__(self, *, checkouts: Iterable[Lasted]) -> None:
        late = [one for one in checkouts if one.ended_at - one.started_at > LATE_SECONDS]
        self._starts = sorted(one.started_at for one in late)
        self._ends = sorted(one.ended_at for one in late)

    def recovered_in(self, *, began_at: float, ended_at: float) -> float:
        """Seconds from a fault's end until the shop had recovered from it; infinite if never."""
        before = self._under_way(began_at, begun_by=began_at - LATE_SECONDS)
        later = self._ends[bisect_right(self._ends, ended_at) :]
        for moment in (ended_at, *later):
            if self._under_way(moment, begun_by=moment + QUIET_SECONDS) <= before:
                return moment - ended_at
        return float("inf")

    def _under_way(self, at: float, *, begun_by: float) -> int:
        """How many end after `at`, of those begun by then. Whatever ended by `at` is among those
        begun by `at - LATE_SECONDS`, so a difference of counts is exact from there on."""
        return bisect_right(self._starts, begun_by) - bisect_right(self._ends, at)


def middle_and_longest(seconds: Sequence[float]) -> tuple[float, float]:
    """The median (the upper one of two) and the longest. Raises IndexError for none."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[-1]
