"""The chapter "When a checkout fails": the outcomes of a mix with refusals, and their times."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

from loadtests.drawing import bars, html, latency, plot, words
from loadtests.drawing.bars import Segment, StackedBar
from loadtests.drawing.plot import Drawing, Frame, Linear
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.results import Figures
from loadtests.load.windows import WindowPhase
from loadtests.measuring import samples as raw
from loadtests.measuring.samples import Sample

ENDS = {
    "completed": ("completed", "p2"),
    "compensated": ("undone", "p1"),
    "refused": ("refused", "p3"),
    "unfinished": ("unfinished", "p6"),
    "not_accepted": ("not accepted", "p5"),
}
"""By field of `Counts`: its label and its colour."""
MOST_DOTS = 300
ROW = 52.0


def failures(*, run: Comparison, samples: Sequence[Sample]) -> str:
    """The mix of outcomes, and the time until a checkout was undone or refused."""
    figures = run.of(WindowPhase.FAILURES)
    if not figures:
        return ""
    settings = run.settings
    every = [_stack(figure) for figure in figures]
    seen = {part.kind for bar in every for part in bar.parts}
    return html.section(
        f"{words.share(settings.declined)} of the cards are declined after the goods were"
        f" reserved, so the reservation is undone; {words.share(settings.scarce)} of the carts"
        " compete for the last unit of a product: all but one are refused, with nothing to undo.",
        html.key([(label, kind) for label, kind in ENDS.values() if kind in seen]),
        html.figure(
            lambda width: bars.stacks(every=every, unit="checkouts", width=width),
            name="ends",
            title="How checkouts ended",
            caption="The same checkouts were sent in each pattern.",
            table_html=_counts_table(figures),
        ),
        _times(
            "undone",
            "Until everything was undone",
            _latencies(run, samples, raw.COMPENSATED),
            figures,
        ),
        _times(
            "refused",
            "Until a refusal with nothing to undo",
            _latencies(run, samples, raw.FAILED),
            figures,
        ),
        name="failures",
        title="When a checkout fails",
    )


def _stack(figures: Figures) -> StackedBar:
    amounts = [(getattr(figures.counts, field), *end) for field, end in ENDS.items()]
    return StackedBar(
        pattern=figures.pattern,
        description=f"{figures.counts.offered} checkouts",
        parts=[
            Segment(label=f"{amount} {label}", short=str(amount), amount=amount, kind=kind)
            for amount, label, kind in amounts
            if amount
        ],
    )


def _counts_table(figures: Sequence[Figures]) -> str:
    ends = {"offered": "offered", **{label: field for field, (label, _) in ENDS.items()}}
    return html.by_pattern(
        figures,
        {label: partial(_count, field=field) for label, field in ends.items()},
        caption="Checkouts",
    )


def _count(figures: Figures, field: str) -> str:
    return str(getattr(figures.counts, field))


def _latencies(run: Comparison, samples: Sequence[Sample], outcome: str) -> dict[str, list[float]]:
    """Milliseconds of the checkouts with this outcome, by pattern."""
    windows = latency.windows_of(run, samples, WindowPhase.FAILURES)
    return {
        pattern: [
            sample.latency_ms
            for window in windows.get(pattern, {}).values()
            for sample in window
            if sample.outcome == outcome
        ]
        for pattern in run.patterns
    }


def _times(
    name: str, title: str, found: Mapping[str, list[float]], figures: Sequence[Figures]
) -> str:
    if not any(found.values()):
        return ""
    return f"<h3>{title}</h3>" + html.figure(
        lambda width: dots(found=found, unit="ms from intended start", width=width),
        name=name,
        title=title,
        caption="Each dot is a checkout; the line is their median.",
        table_html=latency.times_table(
            figures,
            lambda figures: figures.compensated if name == "undone" else figures.refused,
            f"{title}, ms",
        ),
    )


def dots(*, found: Mapping[str, Sequence[float]], unit: str, width: float) -> Drawing:
    """A dot for each value (ms), one row per pattern, its median marked."""
    frame = Frame(width=width, height=ROW * len(found) + 48, left=8, right=14, top=8, bottom=46)
    values = [value for every in found.values() for value in every if not math.isinf(value)] or [
        1.0
    ]
    across = frame.across(high=plot.rounded_up(max(values)))
    drawn = [frame.level(across, unit=unit)]
    for place, (pattern, every) in enumerate(found.items()):
        drawn.append(_dots(pattern, sorted(every), frame.top + place * ROW, across))
    description = "; ".join(
        f"{words.name_of(pattern)}: {len(every)} checkouts" for pattern, every in found.items()
    )
    return Drawing(height=frame.height, elements=drawn, description=description)


def _dots(pattern: str, ordered: Sequence[float], top: float, across: Linear) -> str:
    kind = words.colour_of(pattern)
    known = [value for value in ordered if not math.isinf(value)]
    shown = known[:: max(len(known) // MOST_DOTS, 1)]
    drawn = [plot.dot(across(value), top + 32, kind=f"dot {kind}") for value in shown]
    description = "none"
    if known:
        middle = known[(len(known) - 1) // 2]
        place = across(middle)
        drawn.append(plot.line((place, top + 22), (place, top + 42), kind=f"line {kind}"))
        description = f"median {words.ms(middle)}, slowest {words.ms(known[-1])}"
    label = words.short_name_of(pattern)
    return plot.heading(label, description, y=top + 14, kind=kind) + "".join(drawn)
