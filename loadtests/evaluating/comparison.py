"""A whole comparison as data, as the report shows it and as it is stored in JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from loadtests.evaluating import caveats, fitting, knee, rates, verdicts, waterfall
from loadtests.evaluating.fitting import ScalabilityLaw
from loadtests.evaluating.knee import Bounds, Level
from loadtests.evaluating.results import (
    SHARES,
    Audit,
    Counts,
    Figures,
    Measured,
    Throughput,
    counts,
    figures,
    until_completed,
)
from loadtests.evaluating.verdicts import Figure, FigureVerdict, Interval
from loadtests.evaluating.waterfall import Waterfall
from loadtests.load.plan import FULL_BEFORE, RunSettings
from loadtests.load.windows import PRESSURES, Window, WindowPhase
from loadtests.measuring.cost import Cost
from loadtests.measuring.samples import completed_while_offered, percentile

PRESSURE_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class WindowFacts:
    """A window, also of the warm-up, without its samples (they are in samples.csv)."""

    window: Window
    counts: Counts
    level: Throughput
    cost: Cost
    clock_step_ms: float
    has_rested: bool


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a pattern can sustain. `knee`: per second; None if it sustained nothing.

    `knee_between`: its interval; None if no level was tried. `levels`: of the search for it,
    ascending. `law`: None if no law fits them.
    """

    pattern: str
    knee: float | None = None
    knee_between: Bounds | None = None
    levels: Sequence[Level] = ()
    law: ScalabilityLaw | None = None


@dataclass(frozen=True, kw_only=True)
class Pressure:
    """What a pattern completes under a harder kind of full load. `completed`: per second, the mean
    of its windows; `ratio`: to plain full load, each window to the one beside it; None if no
    interval can be made. At twice the load both count only what completes while the load lasts:
    the backlog after it tells nothing about it.
    """

    pattern: str
    phase: WindowPhase
    completed: float
    ratio: Interval | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result; valid only with a clean audit."""

    made_at: str
    seconds_taken: float
    settings: RunSettings
    environment: dict[str, str]
    figures: list[Figures]
    capacities: list[Capacity]
    """Each pattern's levels, knee and law; of a full run only."""
    windows: list[WindowFacts]
    at_rest_ms_per_second: float
    """CPU of the idle shop."""
    verdicts: list[FigureVerdict]
    caveats: list[str]
    audit: Audit
    was_stopped: bool
    """Whether it ended before all windows were measured."""
    waterfalls: list[Waterfall]
    pressures: list[Pressure] = field(default_factory=list)
    """Of a full run only."""

    @property
    def patterns(self) -> Sequence[str]:
        return self.settings.patterns

    def of(self, phase: WindowPhase) -> list[Figures]:
        """A phase's figures, in the order of the patterns; empty if the run did not have it."""
        found = {figure.pattern: figure for figure in self.figures if figure.phase == phase}
        return [found[pattern] for pattern in self.patterns if pattern in found]

    @property
    def is_void(self) -> bool:
        """Whether a caveat voids some of its figures."""
        return any(caveat.startswith(caveats.INVALID) for caveat in self.caveats)

    @property
    def is_valid(self) -> bool:
        return self.audit.is_clean and not self.is_void


def compare(
    *,
    measured: Sequence[Measured],
    at_rest: Cost,
    settings: RunSettings,
    environment: dict[str, str],
    audit: Audit,
    made_at: str,
    seconds_taken: float,
    cores: int,
    was_stopped: bool = False,
) -> Comparison:
    """The comparison from these windows, without the warm-up and without windows that by chance had
    no checkout."""
    kept = [
        window for window in measured if window.phase is not WindowPhase.WARM_UP and window.samples
    ]
    there = {(measured.phase, measured.pattern) for measured in kept}
    every = [
        figures(measured=kept, phase=phase, pattern=pattern, cores=cores, workers=settings.workers)
        for phase in WindowPhase
        for pattern in settings.patterns
        if (phase, pattern) in there
    ]
    return Comparison(
        made_at=made_at,
        seconds_taken=seconds_taken,
        settings=settings,
        environment=environment,
        figures=every,
        capacities=[_capacity(kept, pattern) for pattern in settings.patterns if settings.is_full],
        windows=[facts(window) for window in measured],
        at_rest_ms_per_second=at_rest.shop_cpu_ms / at_rest.seconds,
        verdicts=_verdicts(kept, settings.patterns),
        caveats=caveats.caveats(measured=kept, figures=every, cores=cores),
        audit=audit,
        was_stopped=was_stopped,
        waterfalls=waterfall.waterfalls(moments=[m for measured in kept for m in measured.moments]),
        pressures=[
            _pressure(kept, pattern, phase)
            for pattern in settings.patterns
            for phase in PRESSURES
            if (phase, pattern) in there
        ],
    )


def facts(window: Measured) -> WindowFacts:
    """A window without its samples."""
    return WindowFacts(
        window=window.window,
        counts=counts(window.samples),
        level=window.level,
        cost=window.cost,
        clock_step_ms=window.clock_step_ms,
        has_rested=window.has_rested,
    )


def _capacity(kept: Sequence[Measured], pattern: str) -> Capacity:
    levels = rates.levels_of(measured=kept, pattern=pattern)
    return Capacity(
        pattern=pattern,
        knee=knee.knee_of(levels=levels),
        knee_between=knee.bounds_of(levels=levels),
        levels=levels,
        law=fitting.fit(points=[(level.in_flight, level.completed) for level in levels]),
    )


def _pressure(kept: Sequence[Measured], pattern: str, phase: WindowPhase) -> Pressure:
    """Pairs each window with that of plain full load planned beside it."""
    hard, full = (
        [
            _completed(measured, phase)
            for measured in kept
            if (measured.phase, measured.pattern) == (each, pattern)
        ]
        for each in (phase, WindowPhase.FULL)
    )
    pairs = list(zip(full[FULL_BEFORE:], hard, strict=False))
    figure = Figure(
        name="completed/s",
        unit="/s",
        lower_is_better=False,
        blocks={
            WindowPhase.FULL.value: [plain for plain, _ in pairs],
            phase.value: [harder for _, harder in pairs],
        },
    )
    verdict = verdicts.verdict_of(figure, WindowPhase.FULL.value, phase.value, PRESSURE_CONFIDENCE)
    return Pressure(pattern=pattern, phase=phase, completed=fmean(hard), ratio=verdict.ratio)


def _completed(window: Measured, phase: WindowPhase) -> float:
    if phase is WindowPhase.BEYOND:
        return completed_while_offered(window.samples, seconds=window.window.seconds)
    return window.level.completed


def _verdicts(kept: Sequence[Measured], patterns: Sequence[str]) -> list[FigureVerdict]:
    """Of each figure; windows whose generator was late are left out of the latencies."""
    light = [measured for measured in kept if measured.phase is WindowPhase.LIGHT]
    on_time = [measured for measured in light if measured.lag_p99_ms <= caveats.LAG_MS]
    full = [measured for measured in kept if measured.phase is WindowPhase.FULL]
    latencies = [
        figure_of(f"p{share * 100:.0f} at light load", "ms", on_time, patterns, _percentile(share))
        for share in SHARES
    ]
    completed = figure_of(
        "completed/s at full load", "/s", full, patterns, lambda measured: measured.level.completed
    )
    cpu = figure_of(
        "CPU per checkout at full load", "ms", full, patterns, lambda window: window.cpu_ms
    )
    return verdicts.verdicts(figures=[*latencies, replace(completed, lower_is_better=False), cpu])


def figure_of(
    name: str,
    unit: str,
    windows: Sequence[Measured],
    patterns: Sequence[str],
    of: Callable[[Measured], float],
) -> Figure:
    """The figure over the blocks that are complete: with a window of each pattern."""
    blocks = {
        pattern: {
            window.window.block: of(window) for window in windows if window.pattern == pattern
        }
        for pattern in patterns
    }
    whole = sorted(set.intersection(*(set(found) for found in blocks.values())))
    return Figure(
        name=name,
        unit=unit,
        lower_is_better=True,
        blocks={pattern: [found[block] for block in whole] for pattern, found in blocks.items()},
    )


def _percentile(share: float) -> Callable[[Measured], float]:
    return lambda window: percentile([until_completed(sample) for sample in window.samples], share)
