"""The settings of a soak, and the results of each pattern's round: plain values, as text and JSON.

The recovery from a fault is computed from the times of the sagas. A saga is late when it ends more
than LATE_SECONDS after its intended start. The shop has recovered at the first moment, from the
fault's end on, at which no more late sagas are in flight than were late when the fault began, and
no further late one begins for QUIET_SECONDS. So while faults overlap, the later one's lateness
counts for both.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from checker.soak.shoppers import SagaRequest
from checker.soak.watching import AcceptedRow, MemoryUse
from contracts.saga import Saga
from loadtests.faults.injector import Made
from loadtests.faults.plan import FaultKind

LATE_SECONDS = 2.0
QUIET_SECONDS = 1.0
SHOWN = 20
"""Breaches of a round on the screen; all of them are in the JSON."""


class Lasted(NamedTuple):
    """A saga from its intended start to its end; infinite if it has not ended."""

    started_at: float
    ended_at: float


class Lateness:
    """The number of late sagas in flight at each moment."""

    def __init__(self, *, sagas: Iterable[Lasted]) -> None:
        late = [saga for saga in sagas if saga.ended_at - saga.started_at > LATE_SECONDS]
        self._starts = sorted(saga.started_at for saga in late)
        self._ends = sorted(saga.ended_at for saga in late)

    def recovered_in(self, *, began_at: float, ended_at: float) -> float:
        """Seconds from a fault's end until the shop had recovered from it; infinite if never."""
        before = self._under_way(began_at, begun_by=began_at - LATE_SECONDS)
        later = self._ends[bisect_right(self._ends, ended_at) :]
        for moment in (ended_at, *later):
            if self._under_way(moment, begun_by=moment + QUIET_SECONDS) <= before:
                return moment - ended_at
        return float("inf")

    def _under_way(self, at: float, *, begun_by: float) -> int:
        """The number of late sagas that had begun by then and end after `at`. A late saga that
        ended by `at` began before `at - LATE_SECONDS`, so from there on the difference of counts is
        exact.
        """
        return bisect_right(self._starts, begun_by) - bisect_right(self._ends, at)


def median_and_longest(seconds: Sequence[float]) -> tuple[float, float]:
    """The median (the upper one of two) and the longest. Raises IndexError for none."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2], ordered[-1]


@dataclass(frozen=True, kw_only=True)
class SoakSettings:
    """`seconds`: of load, a pattern; `rate`: sagas a second; `every`: seconds from one fault to the
    next, on average."""

    saga: Saga
    patterns: Sequence[str]
    seconds: float
    rate: float
    seed: int
    kinds: Sequence[FaultKind]
    every: float


@dataclass(frozen=True, kw_only=True)
class Round:
    """One pattern's. `where`: the servers in words; `consumed`, `repeated`: messages; `drained_in`:
    seconds from the end of load and faults until every saga had ended, infinite if not in time;
    `decided`: the number of each kind of decision; `ended_by_themselves`: the stack's reports of
    processes that ended without a fault.
    """

    pattern: str
    where: str
    asked: Sequence[SagaRequest]
    made: Sequence[Made]
    consumed: int
    repeated: int
    decided: Counter[str]
    drained_in: float
    accepted: Sequence[AcceptedRow]
    memory: Mapping[str, MemoryUse]
    ended_by_themselves: Sequence[str]
    breaches: Sequence[str]
    is_interrupted: bool

    @property
    def statuses(self) -> Counter[str]:
        """The number of sagas by status."""
        return Counter(saga.status for saga in self.accepted)

    @property
    def lasted(self) -> list[Lasted]:
        """Every saga that was requested, from its intended start to its end."""
        ends = {saga.key: saga.ended_at for saga in self.accepted}
        return [
            Lasted(request.intended_at, ends.get(request.wanted.key) or float("inf"))
            for request in self.asked
        ]

    def recoveries(self) -> dict[FaultKind, list[float]]:
        """Seconds until the shop had recovered from each fault that was made, by kind."""
        lateness = Lateness(sagas=self.lasted)
        found: dict[FaultKind, list[float]] = {}
        for made in self.made:
            if made.is_made:
                seconds = lateness.recovered_in(began_at=made.began_at, ended_at=made.ended_at)
                found.setdefault(made.fault.kind, []).append(seconds)
        return found


def as_text(*, settings: SoakSettings, rounds: Sequence[Round]) -> str:
    """The report; its last line repeats the soak."""
    parts = [_round(settings, round_) for round_ in rounds]
    return "\n\n".join([*parts, f"repeat it: {repeating(settings=settings)}"])


def repeating(*, settings: SoakSettings) -> str:
    """The command that plans the same soak again."""
    kinds = ",".join(kind.value for kind in settings.kinds)
    return (
        f"manage.py soak --saga {settings.saga.name} --minutes {settings.seconds / 60:g}"
        f" --rate {settings.rate:g} --patterns {','.join(settings.patterns)} --faults {kinds}"
        f" --every {settings.every:g} --seed {settings.seed}"
    )


def as_json(*, settings: SoakSettings, rounds: Sequence[Round]) -> dict[str, Any]:
    """All figures; `recovered_in` and `drained_in` in seconds, null for never."""
    return {
        "repeat": repeating(settings=settings),
        "saga": settings.saga.name,
        "seed": settings.seed,
        "seconds": settings.seconds,
        "rate": settings.rate,
        "rounds": [_figures(round_) for round_ in rounds],
    }


def _figures(round_: Round) -> dict[str, Any]:
    return {
        "pattern": round_.pattern,
        "where": round_.where,
        "interrupted": round_.is_interrupted,
        "asked": len(round_.asked),
        "requests_repeated": _repeated_requests(round_),
        "accepted": len(round_.accepted),
        "ended": dict(round_.statuses),
        "drained_in": _finite(round_.drained_in),
        "longest": {name: _finite(seconds) for name, seconds in _longest(round_).items()},
        "faults": [
            {
                "at": made.fault.at,
                "kind": made.fault.kind.value,
                "target": made.fault.target,
                "seconds": made.ended_at - made.began_at,
                "made": made.is_made,
                "note": made.note,
            }
            for made in round_.made
        ],
        "recovered_in": {
            kind.value: [_finite(seconds) for seconds in found]
            for kind, found in round_.recoveries().items()
        },
        "decided": dict(round_.decided),
        "messages": {"consumed": round_.consumed, "repeated": round_.repeated},
        "memory_mb": {
            name: {"begin": m.begin, "most": m.most, "end": m.end}
            for name, m in round_.memory.items()
        },
        "ended_by_themselves": list(round_.ended_by_themselves),
        "breaches": list(round_.breaches),
    }


def _round(settings: SoakSettings, round_: Round) -> str:
    longest = _longest(round_)
    stopped = " (stopped early)" if round_.is_interrupted else ""
    lines = [
        f"{settings.saga.name}, {round_.pattern}: {settings.seconds:.0f} s at {settings.rate:g}/s"
        f"{stopped}, on {round_.where}",
        f"  sagas       {len(round_.asked)} requested, {len(round_.accepted)} accepted;"
        f" {_repeated_requests(round_)} requests repeated",
        f"  ended       {_listed(round_.statuses)}",
        f"  drained     {_seconds(round_.drained_in)} after the last fault",
        f"  longest     accepted after {_seconds(longest['acceptance'])}, ended"
        f" {_seconds(longest['end'])} after the intended start",
        f"  duplicates  {round_.repeated} of {round_.consumed} messages published again",
        *([f"  people      {_listed(round_.decided)}"] if round_.decided else []),
        *_faults(round_),
        *_memory(round_),
        *(f"  ended by itself: {line}" for line in round_.ended_by_themselves),
        *_verdict(round_),
    ]
    return "\n".join(lines)


def _faults(round_: Round) -> list[str]:
    """A line for each kind: the number of faults, and the times to recovery."""
    lines = ["  faults      made  recovered in (median, longest)"]
    for kind, found in sorted(round_.recoveries().items()):
        median, longest = median_and_longest(found)
        lines.append(f"    {kind.value:8} {len(found):6}  {_seconds(median)}, {_seconds(longest)}")
    missed = [f"    {made.fault}: {made.note}" for made in round_.made if not made.is_made]
    return [*lines, *missed]


def _memory(round_: Round) -> list[str]:
    lines = ["  memory (MB)               begin   most    end"]
    return lines + [
        f"    {name:24} {m.begin:5.0f}  {m.most:5.0f}  {m.end:5.0f}"
        for name, m in sorted(round_.memory.items())
    ]


def _verdict(round_: Round) -> list[str]:
    if not round_.breaches:
        return ["  right: nothing lost, nothing duplicated, all ended; the audit is clean"]
    shown = [f"  WRONG: {what}" for what in round_.breaches[:SHOWN]]
    more = len(round_.breaches) - len(shown)
    return [*shown, *([f"  WRONG: and {more} more"] if more else [])]


def _longest(round_: Round) -> dict[str, float]:
    waits = [asked.accepted_at - asked.intended_at for asked in round_.asked if asked.accepted_at]
    lasted = [found.ended_at - found.started_at for found in round_.lasted]
    return {"acceptance": max(waits, default=0.0), "end": max(lasted, default=0.0)}


def _repeated_requests(round_: Round) -> int:
    return sum(max(asked.attempts - 1, 0) for asked in round_.asked)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if math.isfinite(value) else "never"


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
