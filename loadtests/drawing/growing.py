"""The chapter on load: how latency grows with it, and where it can't be taken for good any more."""

from collections.abc import Sequence
from statistics import fmean

import msgspec

from loadtests.drawing import html, levels, percentiles, timing, words
from loadtests.drawing.conclusions import Capacity
from loadtests.drawing.levels import Level
from loadtests.drawing.stored import LEVELS, LIGHT, Run
from loadtests.samples import Sample

LEAST_LOADS = 3
"""A line through fewer says nothing."""


def load(*, run: Run, samples: Sequence[Sample]) -> str:
    """Of a run that tried several loads; nothing else."""
    found = {
        pattern: known
        for pattern in run.patterns
        if len(known := levels_of(run=run, samples=samples, pattern=pattern)) >= LEAST_LOADS
    }
    if not found:
        return ""
    knees = {one.pattern: one.knee for one in run.capacities if one.knee and one.pattern in found}
    return html.section(
        html.paragraph(
            "More and more is offered. Its knee is what a pattern takes for good: the last load up"
            " to which at least 99 % come out in time and no backlog grows. Beyond it (hollow) a"
            " checkout takes the longer the longer the load lasts, so those latencies mean little."
        ),
        html.figure(
            name="load",
            draw=lambda width, name: levels.chart(
                found=found, knees=knees, width=width, name=name, title="Latency by offered load"
            ),
            says="Thick: median. Thin: p99. Time and its axis are those of the first chart, but"
            " logarithmic.",
            table_html=_knees(run.capacities)
            + "".join(_table(pattern, known) for pattern, known in found.items()),
        ),
        name="load",
        title="How latency grows with load",
    )


def levels_of(*, run: Run, samples: Sequence[Sample], pattern: str) -> list[Level]:
    """A pattern's loads, ascending: of the search for its knee, of light load and the levels."""
    searched = [
        Level(**msgspec.structs.asdict(level))
        for one in run.capacities
        if one.pattern == pattern
        for level in one.levels
    ]
    rates = {one.window.number: one.window.rate for one in run.windows}
    for phase in (LIGHT, LEVELS):
        by_window = timing.windows_of(run, samples, phase)[pattern]
        for number, window in by_window.items():
            times = sorted(one.latency_ms for one in window if one.ended_at)
            if times and number in rates:
                searched.append(
                    Level(
                        offered=rates[number],
                        p50_ms=percentiles.at(times, 0.5),
                        p99_ms=percentiles.at(times, 0.99),
                        is_sustained=True,
                    )
                )
    return _by_load(searched)


def _by_load(every: Sequence[Level]) -> list[Level]:
    """Windows at one load become one: the mean of theirs; sustained if most were."""
    loads: dict[int, list[Level]] = {}
    for one in every:
        loads.setdefault(round(one.offered), []).append(one)
    return [
        Level(
            offered=fmean(one.offered for one in same),
            p50_ms=fmean(one.p50_ms for one in same),
            p99_ms=fmean(one.p99_ms for one in same),
            is_sustained=sum(one.is_sustained for one in same) * 2 > len(same),
        )
        for _, same in sorted(loads.items())
    ]


def _knees(capacities: Sequence[Capacity]) -> str:
    if not capacities:
        return ""
    return html.table(
        heads=["", "knee, a second", "one at a time, a second", "contention", "coherency", "error"],
        rows=[
            [
                words.name_of(one.pattern),
                f"{one.knee:.0f}" if one.knee else "none",
                *(
                    [
                        words.number(one.law.alone),
                        f"{one.law.contention:.3g}",
                        f"{one.law.coherency:.2g}",
                        words.share(one.law.error),
                    ]
                    if one.law
                    else ["-"] * 4
                ),
            ]
            for one in capacities
        ],
        caption="What each takes for good, and the universal scalability law that its throughput"
        " follows",
    )


def _table(pattern: str, known: Sequence[Level]) -> str:
    return html.table(
        heads=["offered/s", "p50 ms", "p99 ms", "for good"],
        rows=[
            [
                f"{one.offered:.0f}",
                words.number(one.p50_ms),
                words.number(one.p99_ms),
                "yes" if one.is_sustained else "no",
            ]
            for one in known
        ],
        caption=words.name_of(pattern),
    )
