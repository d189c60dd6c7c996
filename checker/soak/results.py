"""What was asked of a soak, and what one pattern's round of it came to: plain values.

How long the shop took to recover from a fault follows from when its sagas began and ended.
A saga is late when it ends more than LATE_SECONDS after it was meant to start. The shop has
recovered from a fault at the first moment, from the fault's end on, at which no more late sagas
are under way than were late already when the fault began, and for QUIET_SECONDS no further one
begins. So while faults overlap, the later one's lateness counts for both.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from checker.soak.answers import Accepted
from checker.soak.faults import Made
from checker.soak.plan import Kind
from checker.soak.shoppers import Asked
from checker.soak.watching import Memory
from contracts.saga import Saga

LATE_SECONDS = 2.0
QUIET_SECONDS = 1.0


class Lasted(NamedTuple):
    """A saga from when it was meant to start to its end; infinite where it has none."""

    started_at: float
    ended_at: float


class Lateness:
    """How many late sagas were under way at each moment."""

    def __init__(self, *, sagas: Iterable[Lasted]) -> None:
        late = [one for one in sagas if one.ended_at - one.started_at > LATE_SECONDS]
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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`seconds`: of load, a pattern; `rate`: sagas a second; `every`: seconds from one fault to the
    next, on average."""

    saga: Saga
    patterns: Sequence[str]
    seconds: float
    rate: float
    seed: int
    kinds: Sequence[Kind]
    every: float


@dataclass(frozen=True, kw_only=True)
class Round:
    """One pattern's. `where`: the servers in words; `heard`, `repeated`: messages; `drained_in`:
    seconds from the end of load and faults until every saga had ended, infinite if not in time;
    `ended_by_themselves`: what the stack said of processes that nobody had killed."""

    pattern: str
    where: str
    asked: Sequence[Asked]
    made: Sequence[Made]
    heard: int
    repeated: int
    drained_in: float
    accepted: Sequence[Accepted]
    memory: Mapping[str, Memory]
    ended_by_themselves: Sequence[str]
    breaches: Sequence[str]
    is_interrupted: bool

    @property
    def statuses(self) -> Counter[str]:
        """How many sagas ended how."""
        return Counter(one.status for one in self.accepted)

    @property
    def lasted(self) -> list[Lasted]:
        """Every saga that was asked for, from when it was meant to start to its end."""
        ends = {one.key: one.ended_at for one in self.accepted}
        return [
            Lasted(one.intended_at, ends.get(one.wanted.key) or float("inf")) for one in self.asked
        ]

    def recoveries(self) -> dict[Kind, list[float]]:
        """Seconds until the shop had recovered from each fault that was made, by kind."""
        lateness = Lateness(sagas=self.lasted)
        found: dict[Kind, list[float]] = {}
        for one in self.made:
            if one.is_made:
                seconds = lateness.recovered_in(began_at=one.began_at, ended_at=one.ended_at)
                found.setdefault(one.fault.kind, []).append(seconds)
        return found
