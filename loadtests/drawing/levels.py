"""Latency as more is offered, up to and beyond what a pattern can take for good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.drawing import axes, svg, words
from loadtests.drawing.axes import LINE, Frame
from loadtests.drawing.conclusions import Bounds
from loadtests.drawing.scales import Linear, Log, rounded_up
from loadtests.drawing.svg import Point

KNEE_ROW = 20.0
"""Above the plot, for each knee: its words, and below them its interval."""
END = 4.0
"""Of an interval's bracket: half of its height."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """One load: offered a second, and the latencies there. `is_sustained`: for good.

    `lag_p99_ms`: how late the generator was; None where that is not known.
    """

    offered: float
    p50_ms: float
    p99_ms: float
    is_sustained: bool
    lag_p99_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Knee:
    """What a pattern takes for good, a second, and its interval; None in runs without one."""

    load: float
    between: Bounds | None = None


def chart(
    *,
    found: Mapping[str, Sequence[Level]],
    knees: Mapping[str, Knee],
    laws: Mapping[str, Sequence[tuple[float, float]]],
    width: float,
    name: str,
    title: str,
) -> str:
    """Each pattern's median (thick) and p99 (thin); its knee is a line from top to bottom under a
    bracket that is its interval, and the law fitted to it is dotted.

    `found`: ascending by load, by pattern, none of them empty. `laws`: load and mean latency (ms).
    """
    more = LINE * (len(axes.in_rows(list(found), width=width)) - 1) + KNEE_ROW * len(knees)
    frame = Frame(width=width, height=320 + more, left=58, right=12, top=44 + more, bottom=48)
    every = [one for levels in found.values() for one in levels]
    up = _upright(frame, every)
    highest = max([one.offered for one in every] + [one.load for one in knees.values()])
    across = Linear(low=0, high=rounded_up(highest), start=frame.left, end=frame.end)
    drawn = [
        axes.upright(frame, [(one, up(one)) for one in up.ticks(most=7)], unit="ms"),
        axes.level(
            frame,
            [(words.tick(one), across(one)) for one in across.ticks(most=6)],
            unit="checkouts offered a second",
        ),
    ]
    drawn += [_law(pattern, curve, across, up) for pattern, curve in laws.items()]
    drawn += [_pattern(pattern, levels, across, up) for pattern, levels in found.items()]
    drawn.append(_knees(knees, across, frame))
    names = [(words.short_name_of(one), f"s{words.place_of(one)}") for one in found]
    lowered = Frame(
        width=width,
        height=frame.height,
        left=frame.left,
        right=frame.right,
        top=44 + LINE * (len(axes.in_rows(names, width=width)) - 1),
        bottom=frame.bottom,
    )
    drawn.append(axes.above(lowered, names))
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description=description(found=found, knees=knees),
    )


def description(*, found: Mapping[str, Sequence[Level]], knees: Mapping[str, Knee]) -> str:
    """The chart in words."""
    return "; ".join(
        f"{words.name_of(pattern)}: median {words.ms(levels[0].p50_ms)} at"
        f" {levels[0].offered:.0f}/s, {words.ms(levels[-1].p50_ms)} at {levels[-1].offered:.0f}/s"
        + (f", {_said(knees[pattern])}" if pattern in knees else "")
        for pattern, levels in found.items()
    )


def _said(knee: Knee) -> str:
    at = f"knee at {knee.load:.0f}/s"
    between = knee.between
    return f"{at} ({words.bounds(between.low, between.high)})" if between else at


def _pattern(pattern: str, levels: Sequence[Level], across: Linear, up: Linear | Log) -> str:
    kind = f"s{words.place_of(pattern)}"
    medians: list[Point] = [(across(one.offered), up(one.p50_ms)) for one in levels]
    slow: list[Point] = [(across(one.offered), up(one.p99_ms)) for one in levels]
    dots = [
        svg.element(
            "circle", cx=x, cy=y, r=4, class_=f"{'fill' if one.is_sustained else 'hollow'} {kind}"
        )
        for one, (x, y) in zip(levels, medians, strict=True)
    ]
    return (
        svg.path(slow, kind=f"p99 {kind}") + svg.path(medians, kind=f"line {kind}") + "".join(dots)
    )


def _law(
    pattern: str, curve: Sequence[tuple[float, float]], across: Linear, up: Linear | Log
) -> str:
    """As far as it is within the frame."""
    points: list[Point] = [
        (across(load), up(ms))
        for load, ms in curve
        if load <= across.high and up.low <= ms <= up.high
    ]
    return svg.path(points, kind=f"law s{words.place_of(pattern)}") if len(points) > 1 else ""


def _knees(knees: Mapping[str, Knee], across: Linear, frame: Frame) -> str:
    """Lines first, so that none goes through words."""
    lines, said = [], []
    for place, (pattern, knee) in enumerate(knees.items()):
        kind = f"s{words.place_of(pattern)}"
        x, top = across(knee.load), frame.top - KNEE_ROW * (place + 1)
        lines.append(svg.line((x, top), (x, frame.floor), kind=f"knee {kind}"))
        if knee.between:
            lines.append(_bracket(knee.between, across, top + KNEE_ROW - END, kind))
        label = f"knee {knee.load:.0f}/s"
        fits = x + svg.width_of(label, bold=True) + 6 < frame.width
        left, anchor = (x + 5, "start") if fits else (x - 5, "end")
        said.append(svg.text(label, left, top + 10, anchor=anchor, kind=f"name {kind}"))
    return "".join([*lines, *said])


def _bracket(between: Bounds, across: Linear, y: float, kind: str) -> str:
    """With an arrow for an end where perhaps it goes on beyond all that was tried."""
    low = across(between.low)
    high = across.end if between.high is None else across(between.high)
    inwards = END if between.high is None else 0.0
    left: list[Point] = [(low, y - END), (low, y + END)]
    right: list[Point] = [(high - inwards, y - END), (high, y), (high - inwards, y + END)]
    return "".join(
        svg.path(points, kind=f"bracket {kind}") for points in (left, [(low, y), (high, y)], right)
    )


def _upright(frame: Frame, every: Sequence[Level]) -> Log:
    low = min(max(one.p50_ms, 0.1) for one in every)
    high = max(one.p99_ms for one in every)
    return Log(low=low * 0.8, high=max(high, low) * 1.25, start=frame.floor, end=frame.top)
