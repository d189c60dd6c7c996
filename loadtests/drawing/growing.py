"""The chapter on load: how latency grows with it, and where it can't be taken for good any more."""

from collections.abc import Container, Sequence
from statistics import fmean

from loadtests.drawing import html, levels, percentiles, timing, words
from loadtests.drawing.conclusions import Capacity
from loadtests.drawing.levels import Knee, Level
from loadtests.drawing.stored import LEVELS, LIGHT, Run
from loadtests.measuring.samples import Sample, percentile

LEAST_LOADS = 3
"""A line through fewer says nothing."""
CURVE_STEPS = 60


def load(*, run: Run, samples: Sequence[Sample]) -> str:
    """Of a run that tried several loads; nothing else."""
    found = {
        pattern: known
        for pattern in run.patterns
        if len(known := levels_of(run=run, samples=samples, pattern=pattern)) >= LEAST_LOADS
    }
    if not found:
        return ""
    laws = {
        one.pattern: curve
        for one in run.capacities
        if one.pattern in found and (curve := curve_of(capacity=one))
    }
    knees = {
        one.pattern: Knee(load=one.knee, between=one.knee_between)
        for one in run.capacities
        if one.knee and one.pattern in found
    }
    return html.section(
        html.paragraph(_of_knees(run.capacities)),
        html.figure(
            name="load",
            draw=lambda width, name: levels.chart(
                found=found,
                knees=knees,
                laws=laws,
                width=width,
                name=name,
                title="Latency by offered load",
            ),
            says="Thick: median. Thin: p99. Time and its axis are those of the first chart, but"
            " logarithmic." + _of_laws(laws, run.capacities),
            table_html=_knees(run.capacities)
            + "".join(_table(pattern, known) for pattern, known in found.items()),
        ),
        name="load",
        title="How latency grows with load",
    )


def _of_knees(capacities: Sequence[Capacity]) -> str:
    """A run without intervals found its knees by the rule of then."""
    known = any(one.knee_between for one in capacities)
    rule = (
        "The knee of a pattern is what it takes for good: the last load that at least half of all"
        " windows sustain, by a fit to all of them; the bracket is its interval"
        f" ({words.share(0.95)})."
        if known
        else "The knee of a pattern is what it takes for good: the last load up to which most"
        " windows sustained theirs."
    )
    return (
        f"Several loads are offered. {rule} A window sustains its load if at least 99 % come out in"
        " time and no backlog grows. Where it does not (hollow) a checkout takes the longer the"
        " longer the load lasts, so those latencies mean little."
    )


def curve_of(*, capacity: Capacity) -> list[tuple[float, float]]:
    """The law as completed a second and mean latency in ms, from one checkout at a time to as many
    as were on their way at any level, or to the most that the law has a use for."""
    if capacity.law is None:
        return []
    highest = max(one.in_flight for one in capacity.levels)
    highest = min(highest, capacity.law.most_in_flight())
    steps = [highest ** (place / CURVE_STEPS) for place in range(CURVE_STEPS + 1)]
    rates = [(each, capacity.law.throughput(in_flight=each)) for each in steps if highest > 1]
    return [(rate, each / rate * 1000) for each, rate in rates]


def _of_laws(laws: Container[str], capacities: Sequence[Capacity]) -> str:
    drawn = [one for one in capacities if one.pattern in laws and one.law]
    if not drawn:
        return ""
    errors = words.listed(
        [f"{words.share(one.law.error)} ({words.name_of(one.pattern)})" for one in drawn if one.law]
    )
    return (
        " Dotted: the mean by the universal scalability law, fitted to the search for the knee;"
        f" its latencies are off by {errors}, as a root mean square."
    )


def levels_of(*, run: Run, samples: Sequence[Sample], pattern: str) -> list[Level]:
    """A pattern's loads, ascending: of the search for its knee, of light load and the levels."""
    searched = [
        Level(
            offered=level.offered,
            p50_ms=level.p50_ms,
            p99_ms=level.p99_ms,
            is_sustained=level.is_sustained,
            lag_p99_ms=level.lag_p99_ms,
        )
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
                        lag_p99_ms=percentile([one.lag_ms for one in window], 0.99),
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
            lag_p99_ms=max(
                (one.lag_p99_ms for one in same if one.lag_p99_ms is not None), default=None
            ),
        )
        for _, same in sorted(loads.items())
    ]


def _knees(capacities: Sequence[Capacity]) -> str:
    if not capacities:
        return ""
    return html.table(
        heads=[
            "",
            "knee, a second",
            "95 % interval",
            "one at a time, a second",
            "contention",
            "coherency",
            "error",
        ],
        rows=[
            [
                words.name_of(one.pattern),
                f"{one.knee:.0f}" if one.knee else "none",
                words.bounds(between.low, between.high) if (between := one.knee_between) else "-",
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
        heads=["offered/s", "p50 ms", "p99 ms", "for good", "send lag, p99 ms"],
        rows=[
            [
                f"{one.offered:.0f}",
                words.number(one.p50_ms),
                words.number(one.p99_ms),
                "yes" if one.is_sustained else "no",
                "-" if one.lag_p99_ms is None else words.number(one.lag_p99_ms),
            ]
            for one in known
        ],
        caption=f"{words.sentence_name_of(pattern)}; send lag: how late the generator itself was"
        " (of the windows at a load, the latest)",
    )
