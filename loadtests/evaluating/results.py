"""From windows to figures of a pattern and phase: counts, exact percentiles, completed/s, cost."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loadtests.load.windows import Window, WindowPhase
from loadtests.measuring import samples as raw
from loadtests.measuring.cost import GENERATOR, Cost, added
from loadtests.measuring.samples import Moments, Sample, percentile

SHARES = (0.50, 0.95, 0.99)
SATURATED_BELOW = 0.95


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What was offered and completed in a window, per second.

    A pattern is saturated if its checkouts take clearly longer to end than they took to be sent;
    then `completed` is what the shop can do, not what was offered.
    """

    offered: float
    completed: float

    @property
    def is_saturated(self) -> bool:
        return self.completed < SATURATED_BELOW * self.offered


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured window. `window.rate`: the rate that was offered."""

    window: Window
    samples: Sequence[Sample]
    cost: Cost
    clock_step_ms: float
    has_rested: bool
    moments: Sequence[Moments] = ()
    """Of the steps of some of its checkouts, at light load."""

    @property
    def phase(self) -> WindowPhase:
        return self.window.phase

    @property
    def pattern(self) -> str:
        return self.window.pattern

    @property
    def level(self) -> Throughput:
        offered = len(self.samples) / self.window.seconds
        return Throughput(offered=offered, completed=raw.completed_per_second(self.samples))

    @property
    def lag_p99_ms(self) -> float:
        return percentile([sample.lag_ms for sample in self.samples], 0.99)

    @property
    def cpu_ms(self) -> float:
        """Of the shop, per accepted checkout."""
        return self.cost.shop_cpu_ms / max(counts(self.samples).accepted, 1)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `manage.py audit` found on the run's stack, at its end."""

    is_clean: bool
    output: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    offered: int
    accepted: int
    completed: int
    refused: int
    compensated: int
    unfinished: int
    not_accepted: int


@dataclass(frozen=True, kw_only=True)
class Times:
    """Milliseconds from the intended start: exact percentiles of all samples, and of each window.

    None: fewer than this share of the checkouts completed.
    """

    p50: float | None
    p95: float | None
    p99: float | None
    windows: Sequence[Sequence[float | None]]

    def of(self, place: int) -> float | None:
        """One of the percentiles, by its place in SHARES."""
        return (self.p50, self.p95, self.p99)[place]

    def of_windows(self, place: int) -> list[float | None]:
        """The same, window by window."""
        return [window[place] for window in self.windows]


@dataclass(frozen=True, kw_only=True)
class CostPerCheckout:
    """Per accepted checkout. CPU in ms by process; WAL in bytes."""

    cpu_ms: dict[str, float]
    shop_cpu_ms: float
    generator_cpu_ms: float
    writes: float
    wal_bytes: float
    messages: float
    http_calls: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All figures of a pattern in a phase."""

    phase: str
    pattern: str
    windows: int
    seconds: float
    counts: Counts
    outcome: Times | None
    """Of all offered checkouts; one that did not complete took infinitely long."""
    refused: Times | None
    compensated: Times | None
    acceptance: Times | None
    offered_per_second: list[float]
    completed_per_second: list[float]
    is_saturated: list[bool]
    lag_p99_ms: float
    generator_busy_share: float
    """Of a core, by each worker of Locust."""
    foreign_busy_share: float
    harness_share: float
    """The share of generator and meters in the CPU that they and the shop used."""
    cost: CostPerCheckout

    @property
    def capacities(self) -> list[float]:
        """completed/s of the saturated windows: what the pattern can do, not what was offered."""
        windows = zip(self.completed_per_second, self.is_saturated, strict=True)
        return [value for value, is_saturated in windows if is_saturated]


def figures(
    *, measured: Sequence[Measured], phase: WindowPhase, pattern: str, cores: int, workers: int = 1
) -> Figures:
    """The figures of a phase and pattern. `workers`: of Locust. Raises ValueError without any
    window."""
    chosen = [window for window in measured if (window.phase, window.pattern) == (phase, pattern)]
    if not chosen:
        raise ValueError(f"no window of {phase} and {pattern}")
    every = [sample for measured in chosen for sample in measured.samples]
    cost = added([measured.cost for measured in chosen])
    levels = [measured.level for measured in chosen]
    return Figures(
        phase=phase.value,
        pattern=pattern,
        windows=len(chosen),
        seconds=chosen[0].window.seconds,
        counts=counts(every),
        outcome=_times(chosen, until_completed),
        refused=_times(chosen, _until(raw.FAILED)),
        compensated=_times(chosen, _until(raw.COMPENSATED)),
        acceptance=_times(chosen, lambda sample: sample.acceptance_ms),
        offered_per_second=[level.offered for level in levels],
        completed_per_second=[level.completed for level in levels],
        is_saturated=[level.is_saturated for level in levels],
        lag_p99_ms=percentile([sample.lag_ms for sample in every], 0.99),
        generator_busy_share=max(
            measured.cost.cpu_ms.get(GENERATOR, 0.0) / (measured.window.seconds * 1000 * workers)
            for measured in chosen
        ),
        foreign_busy_share=cost.foreign_cpu_ms / (cost.seconds * 1000 * cores),
        harness_share=cost.harness_cpu_ms / max(cost.harness_cpu_ms + cost.shop_cpu_ms, 1e-9),
        cost=_per_checkout(cost, sum(sample.saga_id != "" for sample in every)),
    )


def counts(samples: Iterable[Sample]) -> Counts:
    """How many checkouts had which outcome."""
    every = list(samples)
    ended = Counter(sample.outcome for sample in every)
    return Counts(
        offered=len(every),
        accepted=len(every) - ended[raw.NOT_ACCEPTED],
        completed=ended[raw.COMPLETED],
        refused=ended[raw.FAILED],
        compensated=ended[raw.COMPENSATED],
        unfinished=ended[raw.UNFINISHED],
        not_accepted=ended[raw.NOT_ACCEPTED],
    )


def _times(chosen: Sequence[Measured], of: Callable[[Sample], float | None]) -> Times | None:
    """Over the samples for which `of` gives a number; None without any."""
    windows = [
        [time for sample in window.samples if (time := of(sample)) is not None] for window in chosen
    ]
    every = [time for window in windows for time in window]
    if not every:
        return None
    p50, p95, p99 = _percentiles(every)
    return Times(
        p50=p50, p95=p95, p99=p99, windows=[_percentiles(window) for window in windows if window]
    )


def _percentiles(times: Sequence[float]) -> list[float | None]:
    return [known(percentile(times, share)) for share in SHARES]


def known(value: float) -> float | None:
    """None for infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def until_completed(sample: Sample) -> float:
    """The latency of a checkout that should complete: infinite if it did not."""
    return sample.latency_ms if sample.outcome == raw.COMPLETED else math.inf


def _until(outcome: str) -> Callable[[Sample], float | None]:
    return lambda sample: sample.latency_ms if sample.outcome == outcome else None


def _per_checkout(cost: Cost, checkouts: int) -> CostPerCheckout:
    share = 1 / checkouts if checkouts else math.nan
    return CostPerCheckout(
        cpu_ms={name: spent * share for name, spent in sorted(cost.cpu_ms.items())},
        shop_cpu_ms=cost.shop_cpu_ms * share,
        generator_cpu_ms=cost.cpu_ms.get(GENERATOR, 0.0) * share,
        writes=cost.writes * share,
        wal_bytes=cost.wal_bytes * share,
        messages=cost.messages * share,
        http_calls=cost.http_calls * share,
    )
