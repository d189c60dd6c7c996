"""A survey as data, and its file. A cell is one pattern on one stack under one load.

Amounts are of a whole window, between two readings of the meters, and include what the idle stack
uses (`Rest`).

A hop delays the first outcome by seconds, which tells nothing about throughput. So outcomes per
second are counted here without the first and the last 5 %, unlike the completed/s of a comparison,
in which a distant shop would look like a slow one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadtests.evaluating.rates import OVERLOAD
from loadtests.evaluating.results import Audit, Measured, counts
from loadtests.load.windows import Window, WindowPhase
from loadtests.measuring import samples as raw
from loadtests.measuring.cost import Cost
from loadtests.measuring.samples import NotMeasured, Sample, percentile
from loadtests.surveying.grid import Spot, SurveySettings

EDGE = 0.05
SATURATED_BELOW = 0.9
"""Of what is offered. In a window of a few seconds, queues that fill to their steady length look
like a lack of 5 %: a pattern at 0.95 here did 40 % more when that was offered (50 ms per hop)."""
FILE = "survey.json"
MOST_GROWTH = 1.5
UNITS = {
    "load": "checkouts offered per second",
    "refusals": "share of the accepted checkouts that were compensated, 0 to 1",
    "p50_ms, p95_ms": "ms from intended start to outcome, of those that completed",
    "ended_per_second": "outcomes per second, from the moment when 5 % had ended until 95 % had",
    "measured_seconds": "between the two readings that the following amounts are the difference of",
    "cpu_ms": "ms of CPU of the whole shop: services, database server, broker",
    "wal_bytes, writes": "WAL of the database cluster, and transactions that wrote",
    "messages, http_calls": "published and confirmed; served by all web processes",
    "lag_p99_ms": "how late the load generator was",
}


def ended_per_second(*, samples: Sequence[Sample]) -> float:
    """Outcomes per second, between the moments when 5 % and 95 % had ended; 0 with too few."""
    ended = sorted(sample.ended_at for sample in samples if sample.ended_at)
    cut = round(len(ended) * EDGE)
    kept = ended[cut : len(ended) - cut]
    if len(kept) < 2 or kept[-1] <= kept[0]:
        return 0.0
    return (len(kept) - 1) / (kept[-1] - kept[0])


def is_saturated(*, measured: Measured) -> bool:
    """Whether the pattern could not keep up, so that it ended as many as it can."""
    ended = ended_per_second(samples=measured.samples)
    return is_behind(ended=ended, offered=measured.level.offered)


def is_behind(*, ended: float, offered: float) -> bool:
    """The same, from what ended and was offered per second."""
    return ended < SATURATED_BELOW * offered


def overload(*, pattern: str, seen: Sequence[Measured]) -> float:
    """A rate above the most that the pattern kept up with so far, the warm-up included. Raises
    NotMeasured if it ended nothing."""
    return float(round(_followed(pattern, seen) * OVERLOAD))


def share_of_slowest(*, share: float, patterns: Sequence[str], seen: Sequence[Measured]) -> float:
    """This share of what the slowest pattern did at full load, at least 1/s. Raises NotMeasured if
    one of them ended nothing there."""
    full = [window for window in seen if window.phase is WindowPhase.FULL]
    return float(max(round(share * min(_followed(pattern, full) for pattern in patterns)), 1))


def unsaturated(*, patterns: Sequence[str], seen: Sequence[Measured]) -> list[str]:
    """The patterns that kept up in each of their windows of full load."""
    found = {
        window.pattern
        for window in seen
        if window.phase is WindowPhase.FULL and is_saturated(measured=window)
    }
    return [pattern for pattern in patterns if pattern not in found]


def _followed(pattern: str, seen: Sequence[Measured]) -> float:
    """At most what was offered, as outcomes can come in a burst that could not be sustained."""
    most = max(
        (
            min(ended_per_second(samples=window.samples), window.level.offered)
            for window in seen
            if window.pattern == pattern
        ),
        default=0.0,
    )
    if most <= 0:
        raise NotMeasured(f"{pattern} ended nothing so far: there is nothing to measure")
    return most


class NotASurvey(Exception):
    """The survey can't be read, or has too little data; the text says which."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One window; see UNITS. `is_full`: more was offered than the pattern was known to do.
    `is_steady`: its latency did not grow, so the load can be sustained. `asked`: the planned load,
    the same for both patterns and in each visit; empty in older surveys."""

    pattern: str
    is_full: bool
    load: float
    refusals: float
    checkouts: int
    p50_ms: float
    p95_ms: float
    ended_per_second: float
    is_steady: bool
    measured_seconds: float
    cpu_ms: float
    wal_bytes: int
    writes: int
    messages: int
    http_calls: int
    lag_p99_ms: float
    asked: str = ""

    @property
    def is_saturated(self) -> bool:
        """Whether the pattern could not keep up, so that it ended as many as it can."""
        return is_behind(ended=self.ended_per_second, offered=self.load)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What an idle stack uses per second."""

    cpu_ms: float
    wal_bytes: float
    writes: float


@dataclass(frozen=True, kw_only=True)
class Stack:
    """All cells of one spot, with audit and caveats, as of a comparison."""

    spot: Spot
    made_at: str
    seconds_taken: float
    environment: dict[str, str]
    rest: Rest
    audit: Audit
    was_stopped: bool
    caveats: Sequence[str]
    cells: Sequence[Cell]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The result of `manage.py survey`, for `manage.py choose`."""

    made_at: str
    seconds_taken: float
    cores: int
    settings: SurveySettings
    units: dict[str, str]
    stacks: Sequence[Stack]


def rest_of(*, cost: Cost) -> Rest:
    """From the cost of an idle stack."""
    return Rest(
        cpu_ms=cost.shop_cpu_ms / cost.seconds,
        wal_bytes=cost.wal_bytes / cost.seconds,
        writes=cost.writes / cost.seconds,
    )


def cell_of(*, measured: Measured) -> Cell | None:
    """The cell of this window; None for the warm-up, and if nothing completed."""
    window, found = measured.window, counts(measured.samples)
    if window.phase is WindowPhase.WARM_UP or not found.completed:
        return None
    done = [sample.latency_ms for sample in measured.samples if sample.outcome == raw.COMPLETED]
    cost = measured.cost
    return Cell(
        pattern=window.pattern,
        is_full=window.phase is WindowPhase.FULL,
        load=round(measured.level.offered, 3),
        refusals=round(found.compensated / found.accepted, 4),
        checkouts=found.accepted,
        p50_ms=round(percentile(done, 0.5), 3),
        p95_ms=round(percentile(done, 0.95), 3),
        ended_per_second=round(ended_per_second(samples=measured.samples), 2),
        is_steady=_is_steady(measured.samples),
        measured_seconds=round(cost.seconds, 3),
        cpu_ms=round(cost.shop_cpu_ms, 1),
        wal_bytes=cost.wal_bytes,
        writes=cost.writes,
        messages=cost.messages,
        http_calls=cost.http_calls,
        lag_p99_ms=round(measured.lag_p99_ms, 3),
        asked=_asked(window),
    )


def _asked(window: Window) -> str:
    if window.phase is WindowPhase.FULL:
        return "full"
    offered = f"{window.share:g} of the most" if window.share else f"{window.rate:g}/s"
    return f"{offered}, {window.mix.declined:.0%} declined"


def _is_steady(samples: Sequence[Sample]) -> bool:
    """Whether the last third of the checkouts took hardly longer than the first."""
    in_order = sorted(samples, key=lambda sample: sample.intended_at)
    third = max(len(in_order) // 3, 1)
    first, last = (
        percentile([sample.latency_ms for sample in some], 0.5)
        for some in (in_order[:third], in_order[-third:])
    )
    return last <= first * MOST_GROWTH


def write(*, path: Path, survey: Survey) -> None:
    """As JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(survey), indent=1) + b"\n")


def read(*, path: Path) -> Survey:
    """Raises NotASurvey."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Survey)
    except (OSError, msgspec.MsgspecError) as error:
        raise NotASurvey(f"{path} has no survey that can be read: {error}") from error
