"""What came out per second while the load lasted, and after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from loadtests.drawing import axes, svg, words
from loadtests.drawing.axes import Frame
from loadtests.drawing.scales import Linear, rounded_up
from loadtests.drawing.svg import Point
from loadtests.measuring.samples import COMPLETED, Sample

BIN_SECONDS, MOST_BINS = 0.5, 60
"""Of a window; what is completed after it goes on in bins as long."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """A window's completed checkouts per second, bin by bin from its first intended start."""

    per_second: Sequence[float]


def course_of(*, samples: Sequence[Sample], bin_seconds: float) -> Course:
    """Empty where nothing completed."""
    start = min((one.intended_at for one in samples), default=0.0)
    ended = [one.ended_at - start for one in samples if one.outcome == COMPLETED]
    counts = [0] * (int(max(ended) / bin_seconds) + 1) if ended else []
    for one in ended:
        counts[max(int(one / bin_seconds), 0)] += 1
    return Course(per_second=[count / bin_seconds for count in counts])


def chart(
    *,
    courses: Mapping[str, Sequence[Course]],
    bin_seconds: float,
    seconds: float,
    width: float,
    name: str,
    title: str,
) -> str:
    """One panel a pattern, on the same axes: each window thin, their mean thick.

    `seconds`: how long checkouts were sent; the rest is the backlog.
    """
    panel = 150.0
    height = panel * len(courses) + 46
    longest = max((len(c.per_second) for one in courses.values() for c in one), default=1)
    highest = max((v for one in courses.values() for c in one for v in c.per_second), default=1.0)
    span = max(longest * bin_seconds, seconds)
    drawn = []
    for place, (pattern, windows) in enumerate(courses.items()):
        frame = Frame(
            width=width,
            height=panel * (place + 1),
            left=52,
            right=12,
            top=panel * place + 40,
            bottom=0,
        )
        up = Linear(low=0, high=rounded_up(highest, most=3), start=frame.floor, end=frame.top)
        across = Linear(low=0, high=span, start=frame.left, end=frame.end)
        drawn.append(_panel(pattern, windows, frame, up, across, bin_seconds, seconds))
    bottom = Frame(width=width, height=height, left=52, right=12, top=0, bottom=46)
    across = Linear(low=0, high=span, start=bottom.left, end=bottom.end)
    marks = [(words.tick(one), across(one)) for one in across.ticks(most=8)]
    drawn.append(axes.level(bottom, marks, unit="s"))
    return svg.picture(
        *drawn,
        width=width,
        height=height,
        name=name,
        title=title,
        description=description(courses=courses, bin_seconds=bin_seconds),
    )


def description(*, courses: Mapping[str, Sequence[Course]], bin_seconds: float) -> str:
    """The chart in words."""
    return "; ".join(
        f"{words.name_of(pattern)}: up to"
        f" {words.number(max(v for c in windows for v in c.per_second))} completed a second"
        f" in {words.number(bin_seconds)} s"
        for pattern, windows in courses.items()
        if any(c.per_second for c in windows)
    )


def mean_of(courses: Sequence[Course]) -> list[float]:
    """Bin by bin; a window that was done by then counts as 0 there."""
    longest = max((len(one.per_second) for one in courses), default=0)
    return [
        fmean(one.per_second[place] if place < len(one.per_second) else 0.0 for one in courses)
        for place in range(longest)
    ]


def _panel(
    pattern: str,
    windows: Sequence[Course],
    frame: Frame,
    up: Linear,
    across: Linear,
    bin_seconds: float,
    seconds: float,
) -> str:
    kind = f"s{words.place_of(pattern)}"
    sent = across(seconds)
    return "".join(
        [
            svg.box(frame.left, frame.top, sent - frame.left, frame.floor - frame.top, kind="band"),
            axes.upright(frame, [(one, up(one)) for one in up.ticks(most=3)], unit="completed/s"),
            axes.above(frame, [(words.name_of(pattern), kind)]),
            *[
                svg.path(_steps(one.per_second, across, up, bin_seconds), kind=f"thin {kind}")
                for one in windows
            ],
            svg.path(_steps(mean_of(windows), across, up, bin_seconds), kind=f"line {kind}"),
        ]
    )


def _steps(values: Sequence[float], across: Linear, up: Linear, bin_seconds: float) -> list[Point]:
    """Flat within each bin."""
    points: list[Point] = []
    for place, value in enumerate(values):
        points.append((across(place * bin_seconds), up(value)))
        points.append((across((place + 1) * bin_seconds), up(value)))
    return points
