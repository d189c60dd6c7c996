"""Chapters on latency: until the outcome, until the acceptance, and with popular products.

Latency is drawn by percentile, the tail as wide as the bulk.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from loadtests.drawing import html, plot, words
from loadtests.drawing.plot import Drawing, Frame, Linear, Log, Point, Tail
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Figures, Times, until_completed
from loadtests.load.windows import WindowPhase
from loadtests.measuring.samples import Sample, percentile

GRID = 140
"""Points of a line: finer than a screen shows."""
STEEP = 8.0
"""The axis of time is logarithmic if the slowest took more than this many medians."""
Windows = Mapping[str, Sequence[Sequence[float]]]
"""Milliseconds by pattern and window; infinite where the outcome never came."""


def latency(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """Until the outcome, at light load."""
    found = _outcomes(run, samples, WindowPhase.LIGHT)
    if not found:
        return ""
    return html.section(
        f"At {run.settings.rate:g} checkouts per second, sent at random moments (Poisson) that"
        " were fixed beforehand. Time counts from the intended start of a checkout until the"
        " service that accepted it has stored its outcome. The slow ones are on the right: each"
        " step is ten times as rare.",
        html.figure(
            lambda width: chart(found=found, width=width),
            name="latency",
            title="Latency until the outcome",
            caption="Thick: all checkouts of a pattern. Thin: each window; where these lie apart,"
            " the machine's speed changed, or a point stands for few checkouts.",
            table_html=_outcomes_table(run, WindowPhase.LIGHT),
        ),
        name="latency",
        title="How long a checkout takes",
    )


def acceptance(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """Until the 202: a chapter of its own, because it tells nothing about the outcome."""
    found = {
        pattern: [[sample.acceptance_ms for sample in window] for window in windows.values()]
        for pattern, windows in windows_of(run, samples, WindowPhase.LIGHT).items()
    }
    if not found:
        return ""
    return html.section(
        "Until the shopper gets the 202, “accepted”. Every pattern does the same work until then,"
        " so it does not distinguish the patterns; benchmarks of it alone compare nothing.",
        html.figure(
            lambda width: chart(found=found, width=width),
            name="acceptance",
            title="Time until the acceptance",
            caption="Acceptance only, at light load.",
            table_html=times_table(
                run.of(WindowPhase.LIGHT),
                lambda figures: figures.acceptance,
                "ms from intended start to the 202",
            ),
        ),
        name="acceptance",
        title="Time to acceptance",
    )


def hot(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """Empty unless the run had windows in which all or many wanted the same product."""
    exponent = next(
        (
            window.window.mix.zipf
            for window in run.windows
            if window.window.phase == WindowPhase.ZIPF
        ),
        0.0,
    )
    wanted = {
        WindowPhase.HOT: "One product in every cart: all checkouts queue for its row.",
        WindowPhase.ZIPF: "Some products are popular: demand for the n-th is proportional to"
        f" 1 / n^{exponent:g} (Zipf's law).",
    }
    drawn = [
        html.figure(
            lambda width: chart(found=found, width=width),
            name=phase,
            title=f"Latency. {caption}",
            caption=caption,
            table_html=_outcomes_table(run, phase),
        )
        for phase, caption in wanted.items()
        if (found := _outcomes(run, samples, phase))
    ]
    if not drawn:
        return ""
    return html.section(
        f"{run.settings.rate:g} checkouts per second, as in the first chart. There, carts seldom"
        " hold the same product; here they do.",
        *drawn,
        name="hot",
        title="When everybody wants the same product",
    )


def windows_of(
    run: Comparison, samples: Sequence[Sample], phase: WindowPhase
) -> dict[str, dict[int, list[Sample]]]:
    """The samples of a phase by pattern (in the run's order) and window, where there are any."""
    found: dict[str, dict[int, list[Sample]]] = {pattern: {} for pattern in run.patterns}
    for sample in samples:
        if sample.phase == phase and sample.pattern in found:
            found[sample.pattern].setdefault(sample.window, []).append(sample)
    return {pattern: windows for pattern, windows in found.items() if windows}


def _outcomes(run: Comparison, samples: Sequence[Sample], phase: WindowPhase) -> Windows:
    return {
        pattern: [[until_completed(sample) for sample in window] for window in windows.values()]
        for pattern, windows in windows_of(run, samples, phase).items()
    }


def _outcomes_table(run: Comparison, phase: WindowPhase) -> str:
    return times_table(
        run.of(phase), lambda figures: figures.outcome, "ms from intended start to outcome"
    )


def times_table(
    figures: Sequence[Figures], of: Callable[[Figures], Times | None], caption: str
) -> str:
    """p50, p95 and p99, with the range of the windows."""
    return html.by_pattern(
        figures,
        {
            "p50": lambda figures: spread(of(figures), 0),
            "p95": lambda figures: spread(of(figures), 1),
            "p99": lambda figures: spread(of(figures), 2),
        },
        caption=f"{caption}; in brackets the lowest and the highest window.",
    )


def spread(times: Times | None, place: int) -> str:
    """A percentile of all samples, and the lowest and highest of a window."""
    if times is None:
        return "-"
    whole = words.number(times.of(place))
    return f"{whole}  ({words.spread(times.of_windows(place))})" if times.windows else whole


def _described(pattern: str, values: Sequence[float]) -> str:
    within = {share: percentile(values, share) for share in (0.5, 0.9, 0.99)}
    description = [
        f"{words.percent(share)} within {words.ms(None if math.isinf(ms) else ms)}"
        for share, ms in within.items()
    ]
    return f"{words.name_of(pattern)}: {', '.join(description)}"


def chart(*, found: Windows, width: float) -> Drawing:
    """Each pattern's line over all of its windows; behind it, thin, one for each window."""
    is_narrow = width < plot.NARROW
    frame = Frame.below_names(found, width=width, height=300)
    every = {pattern: sorted(chain.from_iterable(windows)) for pattern, windows in found.items()}
    most = max(10, *(len(values) for values in every.values()))
    across = Tail(high=1 - 1 / most, start=frame.left, end=frame.end)
    up = _upright(frame, [value for values in every.values() for value in values])
    drawn = [
        frame.upright(up, most=6, unit="ms"),
        frame.marked(
            [(words.percent(tick), across(tick)) for tick in across.ticks()],
            unit="of checkouts were at least as fast",
        ),
    ]
    for pattern, windows in found.items():
        kind = words.colour_of(pattern)
        drawn += [
            plot.path(_line(sorted(window), across, up), kind=f"thin {kind}") for window in windows
        ]
        drawn.append(plot.path(_line(every[pattern], across, up), kind=f"line {kind}"))
    drawn.append(frame.names(found, in_full=not is_narrow))
    description = "; ".join(
        _described(pattern, values) for pattern, values in every.items() if values
    )
    return Drawing(height=frame.height, elements=drawn, description=description)


def _line(ordered: Sequence[float], across: Tail, up: Linear | Log) -> list[Point]:
    """Up to its slowest finite value; infinite ones are not drawn."""
    if not ordered:
        return []
    last = 1 - 1 / max(len(ordered), 2)
    points: list[Point] = []
    for share in across.grid(count=GRID):
        value = percentile(ordered, share)
        if share > last + 1e-9 or math.isinf(value):
            break
        points.append((across(share), up(value)))
    return points


def _upright(frame: Frame, values: Sequence[float]) -> Linear | Log:
    known = sorted(value for value in values if not math.isinf(value)) or [0.0]
    low, high = max(known[0], 0.1), known[-1]
    if high > STEEP * percentile(known, 0.5) and low < high:
        return Log(low=low * 0.9, high=high * 1.1, start=frame.floor, end=frame.top)
    return frame.up(high=plot.rounded_up(high))
