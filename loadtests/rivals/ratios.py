"""The figures of each arm, and each pattern's ratio to each rival. Pure.

Ratios are of windows of the same block, right after each other; intervals are by the same bootstrap
as between patterns (evaluating/verdicts.py), but each has 95 % confidence by itself: about one in
twenty is wrong.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from loadtests.drawing import words
from loadtests.evaluating.comparison import WindowFacts, figure_of
from loadtests.evaluating.results import Measured, known, until_completed
from loadtests.evaluating.verdicts import FigureVerdict, verdict_of
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import COMPLETED, percentile

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Idle CPU ms per second, with all arms up: of an arm's own processes, and of PostgreSQL."""

    own: float
    database: float

    @property
    def every(self) -> float:
        return self.own + self.database


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A figure of a window, given the idle CPU (ms per second)."""

    name: str
    phase: WindowPhase
    of: Callable[[Measured, float], float]
    pooled: float | None = None
    """The share of a percentile, which the table takes of all samples together."""
    lower_is_better: bool = True


def _cpu(window: Measured, idle: float) -> float:
    """Per completed checkout, without the idle CPU."""
    completed = sum(sample.outcome == COMPLETED for sample in window.samples)
    if not completed:
        return math.inf
    return (window.cost.shop_cpu_ms - idle * window.cost.seconds) / completed


def _percentile(share: float) -> Callable[[Measured, float], float]:
    return lambda window, _: percentile(map(until_completed, window.samples), share)


P50 = Kind(name="p50", phase=WindowPhase.LIGHT, of=_percentile(0.5), pooled=0.5)
P95 = Kind(name="p95", phase=WindowPhase.LIGHT, of=_percentile(0.95), pooled=0.95)
CPU_ALONE = Kind(name="CPU one at a time", phase=WindowPhase.LIGHT, of=_cpu)
COMPLETED_A_SECOND = Kind(
    name="completed/s",
    phase=WindowPhase.FULL,
    of=lambda window, _: window.level.completed,
    lower_is_better=False,
)
CPU_FULL = Kind(name="CPU at full load", phase=WindowPhase.FULL, of=_cpu)
KINDS = (P50, P95, CPU_ALONE, COMPLETED_A_SECOND, CPU_FULL)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a run. `figures`: by arm and name; None: never. `idle`: by arm. `books`: of
    each rival at the end."""

    made_at: str
    seconds_taken: float
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    patterns: Sequence[str]
    rivals: Sequence[str]
    figures: Mapping[str, Mapping[str, float | None]]
    ratios: Sequence[FigureVerdict]
    idle: Mapping[str, Idle]
    caveats: Sequence[str]
    books: Mapping[str, Mapping[str, Any]]
    windows: Sequence[WindowFacts]


def figures(
    *, measured: Sequence[Measured], arms: Sequence[str], idle: Mapping[str, Idle]
) -> dict[str, dict[str, float | None]]:
    """By arm and figure: percentiles of all samples together, others as means over windows."""
    return {arm: {kind.name: _whole(kind, arm, measured, idle) for kind in KINDS} for arm in arms}


def _whole(
    kind: Kind, arm: str, measured: Sequence[Measured], idle: Mapping[str, Idle]
) -> float | None:
    own = [window for window in measured if (window.phase, window.pattern) == (kind.phase, arm)]
    if not own:
        return None
    if kind.pooled is None:
        return known(mean(kind.of(measured, idle[arm].every) for measured in own))
    every = [until_completed(sample) for window in own for sample in window.samples]
    return known(percentile(every, kind.pooled))


def ratios(
    *,
    measured: Sequence[Measured],
    patterns: Sequence[str],
    rivals: Sequence[str],
    idle: Mapping[str, Idle],
) -> list[FigureVerdict]:
    """Every figure of each pattern (`second`) over that of each rival (`first`)."""
    return [
        _ratio(kind, rival, pattern, measured, idle)
        for pattern in patterns
        for rival in rivals
        for kind in KINDS
    ]


def _ratio(
    kind: Kind,
    rival: str,
    pattern: str,
    measured: Sequence[Measured],
    idle: Mapping[str, Idle],
) -> FigureVerdict:
    figure = figure_of(
        kind.name,
        "",
        [window for window in measured if window.phase is kind.phase],
        [rival, pattern],
        lambda measured: kind.of(measured, idle[measured.pattern].every),
    )
    figure = replace(figure, lower_is_better=kind.lower_is_better)
    return verdict_of(figure, rival, pattern, CONFIDENCE)


def sentences(*, result: Result) -> list[str]:
    """For each pattern and rival: the figures in which it is ahead, behind, or neither."""
    return [
        f"{words.sentence_name_of(pattern)} {_sentence(result, pattern, rival)}"
        for pattern in result.patterns
        for rival in result.rivals
    ]


def _sentence(result: Result, pattern: str, rival: str) -> str:
    own = [
        verdict for verdict in result.ratios if (verdict.second, verdict.first) == (pattern, rival)
    ]
    standings = {
        "ahead of": [verdict.figure for verdict in own if verdict.better == pattern],
        "behind": [verdict.figure for verdict in own if verdict.better == rival],
        "undecided against": [
            verdict.figure for verdict in own if verdict.ratio and not verdict.better
        ],
    }
    text = [
        f"{standing} {words.name_of(rival)} in {words.listed(figures)}"
        for standing, figures in standings.items()
        if figures
    ]
    return f"is {'; '.join(text) or f'not compared with {words.name_of(rival)}: {own[0].why}'}"
