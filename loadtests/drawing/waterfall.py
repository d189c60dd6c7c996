"""The chapter "Where the time goes": the mean saga of a pattern, each step below the one before it
and beginning where that ends.
"""

from collections.abc import Sequence

from loadtests.drawing import html, plot, words
from loadtests.drawing.plot import LINE, Drawing, Frame, Linear
from loadtests.evaluating.comparison import Comparison
from loadtests.evaluating.waterfall import Span, TimeKind, Waterfall

BAR, ROW, HEAD = 16.0, 24.0, 26.0
KINDS = {
    TimeKind.WAIT: ("wait", "requested, until the service begins its transaction"),
    TimeKind.SERVICE: ("service", "from there until the outcome is stored"),
    TimeKind.COORDINATION: (
        "coordination",
        "until the next step is requested: commit, answer, choice of the next step, hand-over",
    ),
    TimeKind.IDLE: ("idle", "requested again, after a fault"),
}
"""The CSS class of each kind of time, and its meaning."""


def waterfall(*, run: Comparison) -> str:
    """The mean saga of each pattern; empty for a run without any."""
    known = {fall.pattern: fall for fall in run.waterfalls}
    found = [known[pattern] for pattern in run.patterns if pattern in known]
    if not found:
        return ""
    without = [words.name_of(pattern) for pattern in run.patterns if pattern not in known]
    return html.section(
        "The mean checkout at light load, step by step, divided the same way in each pattern"
        " and read from the services' own rows. Solid colour is work; the lighter parts are the"
        " price of distribution. Even at light load a request waits: it travels, and the service"
        " has to wake up, get the CPU and finish its current batch."
        + (f" {words.begun(words.listed(without))} has no such rows." if without else ""),
        html.key(
            [
                (f"{kind}: {meaning}", colour)
                for kind, (colour, meaning) in KINDS.items()
                if any(_total(fall, kind) for fall in found)
            ],
            patterns=[fall.pattern for fall in found],
        ),
        html.figure(
            lambda width: chart(found=found, width=width),
            name="waterfall",
            title="Where a checkout's time goes",
            caption="Means over a sample of the completed checkouts; the parts add up to the mean"
            " latency, which is higher than the median.",
            table_html="".join(_table(fall) for fall in found) + _totals(found),
        ),
        name="waterfall",
        title="Where the time goes",
    )


def _total(found: Waterfall, kind: TimeKind) -> float:
    """Milliseconds of this kind, summed over all steps."""
    return sum(part.ms for part in found.parts if part.kind == kind)


def _described(fall: Waterfall) -> str:
    """The amount of each kind of time."""
    spent = [f"{words.ms(ms)} {kind}" for kind in KINDS if (ms := _total(fall, kind))]
    return f"{words.name_of(fall.pattern)}: {words.ms(fall.mean_ms)}, of it {', '.join(spent)}"


def _steps_of(found: Waterfall) -> dict[str, list[Span]]:
    """The parts by step, in order."""
    steps: dict[str, list[Span]] = {}
    for part in found.parts:
        steps.setdefault(part.step, []).append(part)
    return steps


def _table(found: Waterfall) -> str:
    rows = []
    for step, parts in _steps_of(found).items():
        spent = {part.kind: words.number(part.ms) for part in parts}
        rows.append([step.replace("_", " "), *[spent.get(kind, "") for kind in KINDS]])
    caption = f"{words.name_of(found.pattern)}: ms of the mean saga"
    return html.table(heads=["", *KINDS], rows=rows, caption=caption)


def _totals(found: Sequence[Waterfall]) -> str:
    return html.table(
        heads=["", *[words.name_of(fall.pattern) for fall in found]],
        rows=[
            *[[kind, *[words.number(_total(fall, kind)) for fall in found]] for kind in KINDS],
            ["total", *[words.number(fall.mean_ms) for fall in found]],
        ],
        caption="ms of the mean saga, all steps",
    )


def chart(*, found: Sequence[Waterfall], width: float) -> Drawing:
    """A panel per pattern, all on the same axis of time."""
    heights = [HEAD + ROW * len(_steps_of(fall)) + 8 for fall in found]
    frame = Frame(width=width, height=sum(heights) + 46, left=124, right=52, bottom=46)
    across = frame.across(high=plot.rounded_up(max(fall.mean_ms for fall in found)))
    drawn, top = [frame.level(across, unit="ms since the intended start")], 0.0
    for waterfall, height in zip(found, heights, strict=True):
        drawn += _panel(waterfall, top, across)
        top += height
    description = "; ".join(_described(fall) for fall in found)
    return Drawing(height=frame.height, elements=drawn, description=description)


def _panel(found: Waterfall, top: float, across: Linear) -> list[str]:
    kind = words.colour_of(found.pattern)
    description = f"{words.ms(found.mean_ms)}, the mean of {found.sagas} sagas"
    label = words.short_name_of(found.pattern)
    rows = [
        _row(step, parts, top + HEAD + ROW * place, across, kind)
        for place, (step, parts) in enumerate(_steps_of(found).items())
    ]
    return [plot.heading(label, description, y=top + LINE, kind=kind), *rows]


def _row(step: str, parts: Sequence[Span], top: float, across: Linear, kind: str) -> str:
    label = step.replace("_", " ")
    drawn = [plot.text(label, across.start - 8, top + 12, anchor="end", kind="mark")]
    for part in parts:
        left, right = across(part.start), across(part.start + part.ms)
        drawn.append(plot.box(left, top, right - left, BAR, kind=f"{KINDS[part.kind][0]} {kind}"))
    end = across(parts[-1].start + parts[-1].ms)
    spent = sum(part.ms for part in parts)
    drawn.append(plot.text(words.number(spent), end + 5, top + 12, kind="mark"))
    return "".join(drawn)
