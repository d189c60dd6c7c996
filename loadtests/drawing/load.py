"""The chapter "How latency grows with load": up to the load a pattern can sustain, and beyond."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from loadtests.drawing import html, latency, plot, words
from loadtests.drawing.plot import Drawing, Frame, Linear, Log, Point
from loadtests.evaluating.comparison import Capacity, Comparison
from loadtests.evaluating.knee import Bounds, Level, level_of
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import COMPLETED, Sample

MEANS = ("offered", "completed", "in_flight", "p50_ms", "p99_ms")
LEAST_LOADS = 3
"""A line through fewer loads says nothing."""
CURVE_STEPS = 60
KNEE_ROW = 20.0
"""The height above the plot for each knee: its label, and below that its interval."""
END = 4.0
"""Half the height of an interval's bracket."""
Curve = Sequence[tuple[float, float]]
"""Completed a second, and the mean latency then, in ms."""


@dataclass(frozen=True, kw_only=True)
class Knee:
    """The load per second that a pattern can sustain, and its interval."""

    load: float
    between: Bounds | None = None


def load(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """Empty unless the run tried several loads."""
    found = {
        pattern: known
        for pattern in run.patterns
        if len(known := levels_of(run=run, samples=samples, pattern=pattern)) >= LEAST_LOADS
    }
    if not found:
        return ""
    drawn = [capacity for capacity in run.capacities if capacity.pattern in found]
    laws = {capacity.pattern: curve for capacity in drawn if (curve := curve_of(capacity=capacity))}
    knees = {
        capacity.pattern: Knee(load=capacity.knee, between=capacity.knee_between)
        for capacity in drawn
        if capacity.knee
    }
    return html.section(
        HOW_FOUND,
        html.figure(
            lambda width: chart(found=found, knees=knees, laws=laws, width=width),
            name="load",
            title="Latency by offered load",
            caption="Thick: median. Thin: p99. Time is measured as in the first chart, on a"
            " logarithmic axis."
            + _of_laws([capacity for capacity in drawn if capacity.pattern in laws]),
            table_html=_knees_table(run.capacities)
            + "".join(_levels_table(pattern, known) for pattern, known in found.items()),
        ),
        name="load",
        title="How latency grows with load",
    )


HOW_FOUND = (
    "Several loads are offered. The knee of a pattern is the load it can sustain: the highest that"
    " at least half of all windows sustain, by a fit to all of them; the bracket is its 95 %"
    " interval. A window sustains its load if at least 99 % complete in time and no backlog grows."
    " Otherwise (hollow) latency keeps growing while the load lasts, so its value means little."
)


def _of_laws(drawn: Sequence[Capacity]) -> str:
    if not drawn:
        return ""
    errors = words.listed(
        [
            f"{words.share(capacity.law.error)} ({words.name_of(capacity.pattern)})"
            for capacity in drawn
            if capacity.law
        ]
    )
    return (
        " Dotted: the mean by the universal scalability law, fitted to the search for the knee;"
        f" the root mean square error of its latencies is {errors}."
    )


def _described(pattern: str, levels: Sequence[Level], knee: Knee | None) -> str:
    description = (
        f"{words.name_of(pattern)}: median {words.ms(levels[0].p50_ms)} at"
        f" {levels[0].offered:.0f}/s, {words.ms(levels[-1].p50_ms)} at {levels[-1].offered:.0f}/s"
    )
    if knee is None:
        return description
    between = f" ({words.bounds(knee.between.low, knee.between.high)})" if knee.between else ""
    return f"{description}, knee at {knee.load:.0f}/s{between}"


def curve_of(*, capacity: Capacity) -> Curve:
    """The law, from one checkout in flight to the most in flight at any level, or to the law's
    maximum throughput."""
    if capacity.law is None:
        return []
    highest = max(level.in_flight for level in capacity.levels)
    highest = min(highest, capacity.law.most_in_flight())
    steps = [highest ** (place / CURVE_STEPS) for place in range(CURVE_STEPS + 1)]
    rates = [(each, capacity.law.throughput(in_flight=each)) for each in steps if highest > 1]
    return [(rate, each / rate * 1000) for each, rate in rates]


def levels_of(*, run: Comparison, samples: Sequence[Sample], pattern: str) -> list[Level]:
    """A pattern's loads, ascending: the search for its knee, light load and the levels."""
    found = [
        level
        for capacity in run.capacities
        if capacity.pattern == pattern
        for level in capacity.levels
    ]
    rates = {window.window.number: window.window.rate for window in run.windows}
    for phase in (WindowPhase.LIGHT, WindowPhase.LEVELS):
        windows = latency.windows_of(run, samples, phase).get(pattern, {})
        for number, window in windows.items():
            if number in rates and any(sample.outcome == COMPLETED for sample in window):
                level = level_of(samples=window, seconds=len(window) / rates[number])
                found.append(replace(level, is_sustained=True))
    return _by_load(found)


def _by_load(every: Sequence[Level]) -> list[Level]:
    """Windows at one load are merged: their means; sustained if most were."""
    loads: dict[int, list[Level]] = {}
    for level in every:
        loads.setdefault(round(level.offered), []).append(level)
    return [
        Level(
            **{name: fmean(getattr(level, name) for level in same) for name in MEANS},
            is_sustained=sum(level.is_sustained for level in same) * 2 > len(same),
            lag_p99_ms=max(level.lag_p99_ms for level in same),
        )
        for _, same in sorted(loads.items())
    ]


def _knees_table(capacities: Sequence[Capacity]) -> str:
    if not capacities:
        return ""
    heads = ["knee, per second", "95 % interval"]
    of_law = ["one at a time, per second", "contention", "coherency", "error"]
    return html.table(
        heads=["", *heads, *of_law],
        rows=[
            [
                words.name_of(capacity.pattern),
                f"{capacity.knee:.0f}" if capacity.knee else "none",
                words.bounds(between.low, between.high)
                if (between := capacity.knee_between)
                else "-",
                *(_law_cells(capacity) or ["-"] * len(of_law)),
            ]
            for capacity in capacities
        ],
        caption="The load each can sustain, and the universal scalability law fitted to its"
        " throughput",
    )


def _law_cells(capacity: Capacity) -> list[str]:
    if capacity.law is None:
        return []
    contention, coherency = f"{capacity.law.contention:.3g}", f"{capacity.law.coherency:.2g}"
    return [
        words.number(capacity.law.alone),
        contention,
        coherency,
        words.share(capacity.law.error),
    ]


def _levels_table(pattern: str, known: Sequence[Level]) -> str:
    return html.table(
        heads=["offered/s", "p50 ms", "p99 ms", "sustained", "send lag, p99 ms"],
        rows=[
            [
                f"{level.offered:.0f}",
                words.number(level.p50_ms),
                words.number(level.p99_ms),
                "yes" if level.is_sustained else "no",
                words.number(level.lag_p99_ms),
            ]
            for level in known
        ],
        caption=f"{words.sentence_name_of(pattern)}; send lag: how late the generator itself was"
        " (the highest of the windows at a load)",
    )


def chart(
    *,
    found: Mapping[str, Sequence[Level]],
    knees: Mapping[str, Knee],
    laws: Mapping[str, Curve],
    width: float,
) -> Drawing:
    """Each pattern's median (thick), p99 (thin) and fitted law (dotted); its knee is a vertical
    line under a bracket, its interval.

    `found`: by pattern, ascending by load, none of them empty.
    """
    frame = Frame.below_names(
        found, width=width, height=320, left=58, between=KNEE_ROW * len(knees)
    )
    every = [level for levels in found.values() for level in levels]
    low = min(max(level.p50_ms, 0.1) for level in every)
    high = max(low, *(level.p99_ms for level in every))
    up = Log(low=low * 0.8, high=high * 1.25, start=frame.floor, end=frame.top)
    highest = max([level.offered for level in every] + [knee.load for knee in knees.values()])
    across = frame.across(high=plot.rounded_up(highest))
    drawn = [
        frame.upright(up, most=7, unit="ms"),
        frame.level(across, unit="checkouts offered per second"),
    ]
    drawn += [_law(pattern, curve, across, up) for pattern, curve in laws.items()]
    drawn += [_pattern(pattern, levels, across, up) for pattern, levels in found.items()]
    drawn += [_knees(knees, across, frame), frame.names(found)]
    description = [
        _described(pattern, levels, knees.get(pattern)) for pattern, levels in found.items()
    ]
    return Drawing(height=frame.height, elements=drawn, description="; ".join(description))


def _pattern(pattern: str, levels: Sequence[Level], across: Linear, up: Log) -> str:
    kind = words.colour_of(pattern)
    medians = [(across(level.offered), up(level.p50_ms)) for level in levels]
    slow = [(across(level.offered), up(level.p99_ms)) for level in levels]
    dots = [
        plot.dot(*place, kind=f"{'fill' if level.is_sustained else 'hollow'} {kind}")
        for level, place in zip(levels, medians, strict=True)
    ]
    lines = plot.path(slow, kind=f"p99 {kind}") + plot.path(medians, kind=f"line {kind}")
    return lines + "".join(dots)


def _law(pattern: str, curve: Curve, across: Linear, up: Log) -> str:
    """The part of the curve that is within the frame."""
    points = [
        (across(rate), up(ms))
        for rate, ms in curve
        if rate <= across.high and up.low <= ms <= up.high
    ]
    return plot.path(points, kind=f"law {words.colour_of(pattern)}")


def _knees(knees: Mapping[str, Knee], across: Linear, frame: Frame) -> str:
    """Lines first, so that none crosses a label."""
    lines, description = [], []
    for place, (pattern, knee) in enumerate(knees.items()):
        kind = words.colour_of(pattern)
        x, top = across(knee.load), frame.top - KNEE_ROW * (place + 1)
        lines.append(plot.line((x, top), (x, frame.floor), kind=f"knee {kind}"))
        if knee.between:
            lines.append(_bracket(knee.between, across, top + KNEE_ROW - END, kind))
        label = f"knee {knee.load:.0f}/s"
        fits = x + plot.width_of(label, bold=True) + 6 < frame.width
        left, anchor = (x + 5, "start") if fits else (x - 5, "end")
        description.append(plot.text(label, left, top + 10, anchor=anchor, kind=f"name {kind}"))
    return "".join([*lines, *description])


def _bracket(between: Bounds, across: Linear, y: float, kind: str) -> str:
    """An arrow marks an end that may lie beyond all loads that were tried."""
    low = across(between.low)
    high = across.end if between.high is None else across(between.high)
    inwards = END if between.high is None else 0.0
    left: list[Point] = [(low, y - END), (low, y + END)]
    right: list[Point] = [(high - inwards, y - END), (high, y), (high - inwards, y + END)]
    return "".join(
        plot.path(points, kind=f"bracket {kind}") for points in (left, [(low, y), (high, y)], right)
    )
