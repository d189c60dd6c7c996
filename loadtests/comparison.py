"""A whole comparison as data: what the report shows, and what is stored as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtests import doubts, verdicts
from loadtests.cost import Cost
from loadtests.plan import Phase, Settings, Window
from loadtests.ramp import Level
from loadtests.results import SHARES, Counts, Figures, Measured, counts, figures, until_completed
from loadtests.runner import Run
from loadtests.samples import percentile
from loadtests.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `manage.py audit` found on the stack of this run, at its end."""

    is_clean: bool
    said: str


@dataclass(frozen=True, kw_only=True)
class WindowFacts:
    """A window, the warm-up's too, without its samples (they are in samples.csv)."""

    window: Window
    counts: Counts
    level: Level
    cost: Cost
    clock_step_ms: float
    has_rested: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result. Without a clean audit there is none: such a run ends as an error."""

    made_at: str
    seconds_taken: float
    settings: Settings
    environment: dict[str, str]
    figures: list[Figures]
    windows: list[WindowFacts]
    at_rest_ms_per_second: float
    """CPU that the shop uses when nobody shops."""
    verdicts: list[Verdict]
    doubts: list[str]
    audit: Audit

    @property
    def is_valid(self) -> bool:
        is_void = any(one.startswith(doubts.INVALID) for one in self.doubts)
        return self.audit.is_clean and not is_void

    def of(self, *, phase: Phase, pattern: str) -> Figures:
        """Raises KeyError where the run had none."""
        for one in self.figures:
            if (one.phase, one.pattern) == (phase.value, pattern):
                return one
        raise KeyError(f"{phase} and {pattern}")


def compare(
    *,
    run: Run,
    settings: Settings,
    environment: dict[str, str],
    audit: Audit,
    made_at: str,
    seconds_taken: float,
    cores: int,
) -> Comparison:
    """The comparison that these windows make, the warm-up dropped."""
    kept = [one for one in run.measured if one.window.phase is not Phase.WARM_UP]
    every = [
        figures(measured=kept, phase=phase, pattern=pattern, cores=cores)
        for phase in (Phase.LIGHT, Phase.FULL, Phase.FAILURES)
        for pattern in settings.patterns
    ]
    return Comparison(
        made_at=made_at,
        seconds_taken=seconds_taken,
        settings=settings,
        environment=environment,
        figures=every,
        windows=[facts(one) for one in run.measured],
        at_rest_ms_per_second=run.at_rest.shop_cpu_ms / run.at_rest.seconds,
        verdicts=_verdicts(kept, settings),
        doubts=doubts.doubts(measured=kept, figures=every, cores=cores),
        audit=audit,
    )


def facts(one: Measured) -> WindowFacts:
    """All of a window but its samples."""
    return WindowFacts(
        window=one.window,
        counts=counts(one.samples),
        level=one.level,
        cost=one.cost,
        clock_step_ms=one.clock_step_ms,
        has_rested=one.has_rested,
    )


def _verdicts(kept: Sequence[Measured], settings: Settings) -> list[Verdict]:
    """Empty unless there are two patterns. A window whose generator was late decides nothing."""
    if len(settings.patterns) != 2:
        return []
    valid = [one for one in kept if one.lag_p99_ms <= doubts.LAG_MS]
    of_light = [
        (f"p{share * 100:.0f} at light load, ms", valid, Phase.LIGHT, _percentile(share))
        for share in SHARES
    ]
    of_full = [
        ("completed/s at full load", kept, Phase.FULL, lambda one: one.level.completed),
        ("CPU ms a checkout at full load", kept, Phase.FULL, lambda one: one.cpu_ms),
    ]
    return [
        verdicts.compare(
            figure=figure,
            windows={
                pattern: [
                    of(one)
                    for one in windows
                    if (one.window.phase, one.window.pattern) == (phase, pattern)
                ]
                for pattern in settings.patterns
            },
        )
        for figure, windows, phase, of in [*of_light, *of_full]
    ]


def _percentile(share: float) -> Callable[[Measured], float]:
    return lambda one: percentile([until_completed(sample) for sample in one.samples], share)
