"""The chapter "How much it can take": checkouts completed per second at full load, and after it."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import fmean, median

from loadtests.drawing import html, latency, plot, words
from loadtests.drawing.plot import Drawing, Frame, Linear, Point
from loadtests.evaluating.comparison import Comparison, Pressure
from loadtests.evaluating.results import Figures
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import COMPLETED, Sample

BIN_SECONDS, MOST_BINS = 0.5, 60
"""The bins of a window; what completes after it is counted in bins of the same length."""
PANEL = 150.0
Courses = Mapping[str, Sequence[Sequence[float]]]
"""By pattern and window: completed checkouts per second, in bins from its first intended start."""


def throughput(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """What completed at full load."""
    figures = run.of(WindowPhase.FULL)
    if not figures:
        return ""
    seconds = max(figure.seconds for figure in figures)
    length = max(BIN_SECONDS, seconds / MOST_BINS)
    found = latency.windows_of(run, samples, WindowPhase.FULL)
    courses = {
        pattern: [
            course_of(samples=window, bin_seconds=length)
            for window in found.get(pattern, {}).values()
        ]
        for pattern in run.patterns
    }
    return html.section(
        "More is offered than each can do, at a constant rate. Checkouts were sent in the shaded"
        " time; after it the backlog is worked off. More may complete per second then, as"
        " accepting new checkouts takes work too.",
        html.figure(
            lambda width: chart(courses=courses, bin_seconds=length, seconds=seconds, width=width),
            name="throughput",
            title="Completed checkouts per second at full load",
            caption="Seconds from the first intended start of a window. Thin: each window. Thick:"
            " their mean.",
            table_html=_table(figures) + _pressures_table(run),
        ),
        name="throughput",
        title="How much it can take",
    )


def _table(figures: Sequence[Figures]) -> str:
    return html.by_pattern(
        figures,
        {
            "offered/s, median": _offered,
            "completed/s": capacity,
            "completed of offered": lambda figures: (
                f"{figures.counts.completed} / {figures.counts.offered}"
            ),
        },
        caption="Until the last checkout of a window has ended; in brackets the lowest"
        " and the highest window.",
    )


HARDER = {
    WindowPhase.BEYOND: "twice as much is offered",
    WindowPhase.HOT_FULL: "all want one product",
    WindowPhase.ZIPF_FULL: "some are popular (Zipf)",
}
"""How full load is made harder, in words."""


def _pressures_table(run: Comparison) -> str:
    """Empty unless it was a full run."""
    if not run.pressures:
        return ""
    known = {(found.phase, found.pattern): _pressure(found) for found in run.pressures}
    return html.table(
        heads=["", *(words.sentence_name_of(pattern) for pattern in run.patterns)],
        rows=[
            [caption, *(known.get((phase, pattern), "-") for pattern in run.patterns)]
            for phase, caption in HARDER.items()
        ],
        caption="Completed/s at a harder full load (mean of its windows), and its share of what"
        " completed in the plain window beside it, with its 95 % interval. At twice the load,"
        " checkouts that can't complete within seconds are refused at once (503); both figures"
        " there are of the second half of the time in which the load is offered.",
    )


def _pressure(found: Pressure) -> str:
    if found.ratio is None:
        return f"{found.completed:.0f}"
    low, high = f"{found.ratio.low:.2f}", f"{found.ratio.high:.2f}"
    return f"{found.completed:.0f}  ({found.ratio.estimate:.2f}, {low} to {high})"


def capacity(figures: Figures) -> str:
    """completed/s of the saturated windows, as text."""
    found = figures.capacities
    if not found:
        return f"more than {max(figures.completed_per_second, default=0.0):.0f}"
    return f"{median(found):.0f}  ({min(found):.0f} to {max(found):.0f})"


def _offered(figures: Figures) -> str:
    return f"{median(figures.offered_per_second):.0f}" if figures.offered_per_second else "-"


def course_of(*, samples: Sequence[Sample], bin_seconds: float) -> list[float]:
    """Completed per second, in bins. Empty if nothing completed."""
    start = min((sample.intended_at for sample in samples), default=0.0)
    ended = [sample.ended_at - start for sample in samples if sample.outcome == COMPLETED]
    counts = [0] * (int(max(ended) / bin_seconds) + 1) if ended else []
    for second in ended:
        counts[max(int(second / bin_seconds), 0)] += 1
    return [count / bin_seconds for count in counts]


def mean_of(courses: Sequence[Sequence[float]]) -> list[float]:
    """By bin; a window that had ended before a bin counts as 0 there."""
    return [fmean(values) for values in zip_longest(*courses, fillvalue=0.0)]


def _described(courses: Courses, bin_seconds: float) -> str:
    highest = {
        pattern: max(map(max, completed))
        for pattern, windows in courses.items()
        if (completed := [window for window in windows if window])
    }
    return "; ".join(
        f"{words.name_of(pattern)}: up to {words.number(most)} completed per second"
        f" in {words.number(bin_seconds)} s"
        for pattern, most in highest.items()
    )


def chart(*, courses: Courses, bin_seconds: float, seconds: float, width: float) -> Drawing:
    """One panel per pattern, on the same axes: each window thin, their mean thick.

    `seconds`: how long checkouts were sent; after that the backlog drains.
    """
    every = [window for windows in courses.values() for window in windows]
    longest = max(map(len, every), default=1)
    highest = max((value for course in every for value in course), default=1.0)
    whole = Frame(width=width, height=PANEL * len(courses) + 46, bottom=46)
    across = whole.across(high=max(longest * bin_seconds, seconds))
    drawn = []
    for place, (pattern, windows) in enumerate(courses.items()):
        top = PANEL * place
        frame = Frame(width=width, height=top + PANEL, top=top + 40, bottom=0)
        up = frame.up(high=plot.rounded_up(highest, most=3))
        drawn.append(frame.band(frame.left, across(seconds)))
        drawn.append(frame.upright(up, most=3, unit="completed/s"))
        drawn.append(frame.names([pattern], in_full=True))
        kind = words.colour_of(pattern)
        for course, line in [*((window, "thin") for window in windows), (mean_of(windows), "line")]:
            drawn.append(plot.path(_steps(course, across, up, bin_seconds), kind=f"{line} {kind}"))
    drawn.append(whole.level(across, most=8, unit="s"))
    return Drawing(
        height=whole.height, elements=drawn, description=_described(courses, bin_seconds)
    )


def _steps(values: Sequence[float], across: Linear, up: Linear, bin_seconds: float) -> list[Point]:
    """Flat within each bin."""
    points: list[Point] = []
    for place, value in enumerate(values):
        points.append((across(place * bin_seconds), up(value)))
        points.append((across((place + 1) * bin_seconds), up(value)))
    return points
