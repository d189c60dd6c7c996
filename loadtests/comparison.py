"""A whole comparison as data: what the report shows, and what is stored as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests import doubts, verdicts
from loadtests.cost import Cost
from loadtests.plan import Phase, Settings, Window
from loadtests.ramp import Level
from loadtests.results import SHARES, Counts, Figures, Measured, counts, figures
from loadtests.runner import Run
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
        return self.audit.is_clean and not any(one.startswith("INVALID") for one in self.doubts)

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
        verdicts=_verdicts(kept, every, settings),
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


def _verdicts(
    kept: Sequence[Measured], every: Sequence[Figures], settings: Settings
) -> list[Verdict]:
    """Empty unless two patterns were compared."""
    if len(settings.patterns) != 2:
        return []
    light = [one for one in every if one.phase == Phase.LIGHT]
    full = [one for one in every if one.phase == Phase.FULL]
    found = [
        verdicts.compare(
            figure=f"p{share * 100:.0f} at light load, ms",
            windows={one.pattern: one.outcome.of_windows(place) for one in light if one.outcome},
        )
        for place, share in enumerate(SHARES)
    ]
    found.append(
        verdicts.compare(
            figure="completed/s at full load",
            windows={one.pattern: one.completed_per_second for one in full},
        )
    )
    found.append(
        verdicts.compare(
            figure="CPU ms a checkout at full load",
            windows={pattern: _cpu_by_window(kept, pattern) for pattern in settings.patterns},
        )
    )
    return found


def _cpu_by_window(kept: Sequence[Measured], pattern: str) -> list[float]:
    return [
        one.cost.shop_cpu_ms / max(sum(s.saga_id != "" for s in one.samples), 1)
        for one in kept
        if (one.window.phase, one.window.pattern) == (Phase.FULL, pattern)
    ]
