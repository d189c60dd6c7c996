"""What makes a result doubtful or void, in plain words: one sentence for each kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import mean, median

from loadtests.evaluating.results import Figures, Measured
from loadtests.load.windows import PRESSURES, WindowPhase

LAG_MS = 5.0
GENERATOR_SHARE = 0.8
HARNESS_SHARE = 0.15
FOREIGN_SHARE = 0.05
STEAL_SHARE = 0.02
CLOCK_STEP_MS = 1.0
LIGHT_SHARE, LIGHT_ENOUGH = 0.8, 0.2
"""Shares of what a pattern completes at full load: light load above the first is not light; the
second is proposed in its place."""
INVALID = "INVALID"


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """A caveat where the measure is above `most`; `text` is formatted with the highest."""

    measure: Callable[[Figures], float]
    most: float
    text: str


_SEARCH = frozenset({WindowPhase.FULL, *PRESSURES, WindowPhase.KNEE})
"""Phases that measure throughput, not latency."""

_RULES = (
    _Rule(
        measure=lambda figures: figures.lag_p99_ms if figures.phase == WindowPhase.LIGHT else 0.0,
        most=LAG_MS,
        text=INVALID + " latencies: the generator itself was late (p99 of the send lag {:.1f} ms,"
        f" allowed {LAG_MS:.0f} ms)",
    ),
    _Rule(
        measure=lambda figures: (
            0.0 if figures.phase in {WindowPhase.LIGHT, *_SEARCH} else figures.lag_p99_ms
        ),
        most=LAG_MS,
        text="do not use these latencies: the generator itself was late (p99 of the send lag"
        f" up to {{:.1f}} ms, allowed {LAG_MS:.0f} ms)",
    ),
    _Rule(
        measure=lambda figures: figures.generator_busy_share,
        most=GENERATOR_SHARE,
        text="the generator was saturated ({:.0%} of a core), so the shop may be able to do more",
    ),
    _Rule(
        measure=lambda figures: (
            figures.harness_share if figures.phase == WindowPhase.LIGHT else 0.0
        ),
        most=HARNESS_SHARE,
        text="the generator and the meters used {:.0%} of the CPU, which the shop could not use"
        f" (allowed {HARNESS_SHARE:.0%})",
    ),
    _Rule(
        measure=lambda figures: figures.foreign_busy_share,
        most=FOREIGN_SHARE,
        text="other programs used {:.0%} of the CPU (close them and run again)",
    ),
    _Rule(
        measure=lambda figures: (
            figures.counts.not_accepted if figures.phase != WindowPhase.BEYOND else 0
        ),
        most=0,
        text="{} checkouts were not accepted (under overload some are turned away)",
    ),
    _Rule(
        measure=lambda figures: figures.counts.unfinished,
        most=0,
        text="{} checkouts did not end in time",
    ),
    _Rule(
        measure=lambda figures: figures.phase == WindowPhase.FULL and not any(figures.is_saturated),
        most=0,
        text="never saturated: completed/s is what was offered, not the most it can do",
    ),
)


def caveats(*, measured: Sequence[Measured], figures: Sequence[Figures], cores: int) -> list[str]:
    """Empty if all is well. A caveat that voids the figures it names begins with INVALID."""
    found = [_caveat(rule, figures) for rule in _RULES]
    found.append(_of_light(figures))
    found += [_of_clock(measured), _of_rest(measured), _of_steal(measured, cores)]
    found.append(_of_checkpoints(measured))
    return [text for text in found if text]


def _caveat(rule: _Rule, figures: Sequence[Figures]) -> str:
    above = [figure for figure in figures if rule.measure(figure) > rule.most]
    if not above:
        return ""
    highest = max(rule.measure(figures) for figures in above)
    return f"{rule.text.format(highest)}: {_where(above, figures)}."


def _where(above: Sequence[Figures], figures: Sequence[Figures]) -> str:
    """Phases and patterns, in as few words as possible."""
    if len(above) == len(figures):
        return "in every window"
    places = []
    for phase in dict.fromkeys(figures.phase for figures in above):
        patterns = [figures.pattern for figures in above if figures.phase == phase]
        is_whole = len(patterns) == sum(figure.phase == phase for figure in figures)
        places += [phase] if is_whole else [f"{phase} {pattern}" for pattern in patterns]
    return ", ".join(places)


def _of_light(figures: Sequence[Figures]) -> str:
    """A light load near the capacity compares the length of queues."""
    most = {
        full.pattern: median(full.capacities)
        for full in figures
        if full.phase == WindowPhase.FULL and full.capacities
    }
    heavy = [
        light.pattern
        for light in figures
        if light.phase == WindowPhase.LIGHT
        and mean(light.offered_per_second) > LIGHT_SHARE * most.get(light.pattern, inf)
    ]
    if not heavy:
        return ""
    least = min(most[pattern] for pattern in heavy)
    return (
        f"light load is nearly all that {' and '.join(heavy)} can do ({least:.3g}/s), so latency"
        f" is time in queues (run again with --rate {LIGHT_ENOUGH * least:.2g})."
    )


def _of_clock(measured: Sequence[Measured]) -> str:
    steps = [
        window.clock_step_ms for window in measured if abs(window.clock_step_ms) > CLOCK_STEP_MS
    ]
    if not steps:
        return ""
    return f"{INVALID}: the clock was set by {max(steps, key=abs):.1f} ms in a window."


def _of_rest(measured: Sequence[Measured]) -> str:
    restless = [str(window.window.number) for window in measured if not window.has_rested]
    if not restless:
        return ""
    return f"messages were still in flight after window {', '.join(restless)}."


def _of_checkpoints(measured: Sequence[Measured]) -> str:
    met = [str(window.window.number) for window in measured if window.cost.checkpoints]
    if not met:
        return ""
    return f"a checkpoint of the database ended in window {', '.join(met)}."


def _of_steal(measured: Sequence[Measured], cores: int) -> str:
    share = max(
        (window.cost.steal_ms / (window.cost.seconds * 1000 * cores) for window in measured),
        default=0.0,
    )
    if share <= STEAL_SHARE:
        return ""
    return f"up to {share:.0%} of the CPU was stolen by the machine's host."
