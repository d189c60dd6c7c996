"""Chapters on time: until the outcome, until the acceptance, and what came out per second."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from loadtests.drawing import html, percentiles, words
from loadtests.drawing import throughput as courses_of
from loadtests.drawing.stored import FULL, LIGHT, Figures, Run, Times
from loadtests.measuring.samples import COMPLETED, Sample

Of = Callable[[Sample], float]


def latency(*, run: Run, samples: Sequence[Sample]) -> str:
    """Until the outcome, at light load."""
    found = by_window(run=run, samples=samples, phase=LIGHT, of=until_completed)
    if not found:
        return ""
    return html.section(
        html.paragraph(
            f"At {run.settings.rate:g} checkouts a second, sent at random moments (Poisson) that"
            " were fixed beforehand. Time counts from the moment at which a checkout was meant to"
            " start until its owner's own row says that it ended. To the right are the slow ones:"
            " each step is ten times as rare."
        ),
        html.figure(
            name="latency",
            draw=lambda width, name: percentiles.chart(
                found=found, width=width, name=name, title="Latency until the outcome"
            ),
            says="Thick: all checkouts of a pattern. Thin: each window alone; where they lie"
            " apart, the machine was not always the same, or few checkouts make a point.",
            table_html=times_table(
                run.of(LIGHT), lambda one: one.outcome, "ms from intended start to outcome"
            ),
        ),
        name="latency",
        title="How long a checkout takes",
    )


def acceptance(*, run: Run, samples: Sequence[Sample]) -> str:
    """Until the 202: apart, because it says nothing of the outcome."""
    found = by_window(run=run, samples=samples, phase=LIGHT, of=lambda one: one.acceptance_ms)
    if not found:
        return ""
    return html.section(
        html.paragraph(
            "Until the shopper hears 202, “accepted”. The same is done until then in every pattern,"
            " so this is a measure of none; studies that time it compare nothing."
        ),
        html.figure(
            name="acceptance",
            draw=lambda width, name: percentiles.chart(
                found=found, width=width, name=name, title="Time until the acceptance"
            ),
            says="Acceptance only, at light load.",
            table_html=times_table(
                run.of(LIGHT), lambda one: one.acceptance, "ms from intended start to the 202"
            ),
        ),
        name="acceptance",
        title="Acceptance, apart",
    )


def throughput(*, run: Run, samples: Sequence[Sample]) -> str:
    """What came out at full load."""
    figures = run.of(FULL)
    if not figures:
        return ""
    seconds = max(one.seconds for one in figures)
    length = max(courses_of.BIN_SECONDS, seconds / courses_of.MOST_BINS)
    courses = {
        pattern: [courses_of.course_of(samples=one, bin_seconds=length) for one in windows.values()]
        for pattern, windows in windows_of(run, samples, FULL).items()
    }
    return html.section(
        html.paragraph(
            "More is offered than each can do, at even distances. The shaded part is the time in"
            " which checkouts were sent; what comes after it is the backlog being worked off."
        ),
        html.figure(
            name="throughput",
            draw=lambda width, name: courses_of.chart(
                courses=courses,
                bin_seconds=length,
                seconds=seconds,
                width=width,
                name=name,
                title="Completed checkouts a second at full load",
            ),
            says="Seconds from the first intended start of a window. Thin: each window. Thick:"
            " their mean.",
            table_html=html.table(
                heads=["", *[words.name_of(one.pattern) for one in figures]],
                rows=[
                    [
                        "offered/s, median",
                        *[f"{_median(one.offered_per_second)}" for one in figures],
                    ],
                    ["completed/s", *[capacity(one) for one in figures]],
                    ["completed of offered", *[_done(one) for one in figures]],
                ],
                caption="Until the last checkout of a window has ended; in brackets the lowest"
                " and the highest window.",
            ),
        ),
        name="throughput",
        title="How much it can take",
    )


def by_window(
    *, run: Run, samples: Sequence[Sample], phase: str, of: Of
) -> dict[str, list[list[float]]]:
    """A number of each sample, by pattern and window; patterns without any are left out."""
    windows = windows_of(run, samples, phase)
    return {
        pattern: [[of(one) for one in window] for window in found.values()]
        for pattern, found in windows.items()
        if found
    }


def capacity(one: Figures) -> str:
    """completed/s of the saturated windows, in words."""
    windows = zip(one.completed_per_second, one.is_saturated, strict=True)
    saturated = [value for value, is_saturated in windows if is_saturated]
    if not saturated:
        return f"more than {max(one.completed_per_second, default=0.0):.0f}"
    return f"{median(saturated):.0f}  ({min(saturated):.0f} to {max(saturated):.0f})"


def times_table(
    figures: Sequence[Figures], of: Callable[[Figures], Times | None], caption: str
) -> str:
    """p50, p95 and p99, with the range of the windows."""
    return html.table(
        heads=["", *[words.name_of(one.pattern) for one in figures]],
        rows=[
            [label, *[spread(of(one), place) for one in figures]]
            for place, label in enumerate(("p50", "p95", "p99"))
        ],
        caption=f"{caption}; in brackets the lowest and the highest window.",
    )


def spread(times: Times | None, place: int) -> str:
    """A percentile of all, and the lowest and highest of a window."""
    if times is None:
        return "-"
    whole = words.number(times.of(place))
    return f"{whole}  ({words.spread(times.of_windows(place))})" if times.windows else whole


def pair(times: Times | None) -> str:
    """p50 and p99."""
    return "-" if times is None else f"{words.number(times.p50)} / {words.number(times.p99)}"


def windows_of(
    run: Run, samples: Sequence[Sample], phase: str
) -> Mapping[str, dict[int, list[Sample]]]:
    """The samples of a phase by pattern and window; a pattern without any has none."""
    found: dict[str, dict[int, list[Sample]]] = {pattern: {} for pattern in run.patterns}
    for one in samples:
        if one.phase == phase and one.pattern in found:
            found[one.pattern].setdefault(one.window, []).append(one)
    return found


def until_completed(one: Sample) -> float:
    """Infinite where it did not complete."""
    return one.latency_ms if one.outcome == COMPLETED else math.inf


def _median(values: Sequence[float]) -> str:
    return f"{median(values):.0f}" if values else "-"


def _done(one: Figures) -> str:
    return f"{one.counts.completed} / {one.counts.offered}"
