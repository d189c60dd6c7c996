"""How long the slowest had to wait: latency by percentile, the tail as wide as the bulk."""

import math
from collections.abc import Mapping, Sequence

from loadtests.drawing import axes, svg, words
from loadtests.drawing.axes import LINE, Frame
from loadtests.drawing.scales import Linear, Log, Tail, rounded_up
from loadtests.drawing.svg import Point

GRID = 140
"""Points of a line: finer than a screen shows."""
STEEP = 8.0
"""The axis of time is logarithmic where the slowest took so many times as long as the median."""
Windows = Mapping[str, Sequence[Sequence[float]]]
"""Milliseconds by pattern and window; infinite where it never came."""


def chart(*, found: Windows, width: float, name: str, title: str) -> str:
    """Each pattern's line over all of its windows, and each window's own, thin, behind it."""
    narrow = width < axes.NARROW
    more = LINE * (len(axes.in_rows(list(found), width=width)) - 1)
    frame = Frame(width=width, height=300 + more, left=52, right=12, top=44 + more, bottom=48)
    every = {pattern: sorted(_all(windows)) for pattern, windows in found.items()}
    across = Tail(high=1 - 1 / _most(every), start=frame.left, end=frame.end)
    up = _upright(frame, [value for values in every.values() for value in values])
    marks = across.ticks()
    drawn = [
        axes.upright(frame, [(one, up(one)) for one in up.ticks(most=6)], unit="ms"),
        axes.level(
            frame,
            [(words.percent(one), across(one)) for one in marks],
            unit="of checkouts were at least as quick" if not narrow else "of checkouts",
        ),
    ]
    for pattern, windows in found.items():
        kind = f"s{words.place_of(pattern)}"
        drawn += [svg.path(_line(sorted(one), across, up), kind=f"thin {kind}") for one in windows]
        drawn.append(svg.path(_line(every[pattern], across, up), kind=f"line {kind}"))
    names = [
        (words.short_name_of(one) if narrow else words.name_of(one), f"s{words.place_of(one)}")
        for one in found
    ]
    drawn.append(axes.above(frame, names))
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description=description(every=every),
    )


def description(*, every: Mapping[str, Sequence[float]]) -> str:
    """The chart in words."""
    return "; ".join(
        f"{words.name_of(pattern)}: "
        + ", ".join(
            f"{words.percent(share)} within {_said(at(values, share))}"
            for share in (0.5, 0.9, 0.99)
        )
        for pattern, values in every.items()
        if values
    )


def at(ordered: Sequence[float], share: float) -> float:
    """The value at that share of sorted values: nearest rank, as in loadtests.measuring.samples."""
    return ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1]


def _line(ordered: Sequence[float], across: Tail, up: Linear | Log) -> list[Point]:
    """To its own slowest; what never came has no place."""
    if not ordered:
        return []
    last = 1 - 1 / max(len(ordered), 2)
    points: list[Point] = []
    for share in across.grid(count=GRID):
        value = at(ordered, share)
        if share > last + 1e-9 or math.isinf(value):
            break
        points.append((across(share), up(value)))
    return points


def _upright(frame: Frame, values: Sequence[float]) -> Linear | Log:
    known = sorted(value for value in values if not math.isinf(value)) or [0.0]
    low, middle, high = max(known[0], 0.1), at(known, 0.5), known[-1]
    if high > STEEP * middle and low < high:
        return Log(low=low * 0.9, high=high * 1.1, start=frame.floor, end=frame.top)
    return Linear(low=0.0, high=rounded_up(high), start=frame.floor, end=frame.top)


def _most(every: Mapping[str, Sequence[float]]) -> int:
    return max(10, *(len(values) for values in every.values()))


def _all(windows: Sequence[Sequence[float]]) -> list[float]:
    return [value for one in windows for value in one]


def _said(value: float) -> str:
    return words.ms(None if math.isinf(value) else value)
