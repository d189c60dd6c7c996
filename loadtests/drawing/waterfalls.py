"""The mean saga of a pattern, step below step, each beginning where the one above it ends."""

from collections.abc import Sequence

from loadtests.drawing import axes, svg, words
from loadtests.drawing.axes import LINE, Frame
from loadtests.drawing.conclusions import Part, Waterfall
from loadtests.drawing.scales import Linear, rounded_up

BAR, ROW = 16.0, 24.0
KINDS = {
    "queue wait": "wait",
    "service": "service",
    "coordination": "coordination",
    "idle": "idle",
}
"""The class of each kind of time."""


def chart(*, found: Sequence[Waterfall], width: float, name: str, title: str) -> str:
    """A panel a pattern, all on the same axis of time."""
    heads, foot = 26.0, 46.0
    heights = [heads + ROW * len(steps_of(one)) + 8 for one in found]
    frame = Frame(width=width, height=sum(heights) + foot, left=124, right=52, top=0, bottom=foot)
    highest = max((one.mean_ms for one in found), default=1.0)
    across = Linear(low=0, high=rounded_up(highest), start=frame.left, end=frame.end)
    marks = [(words.tick(one), across(one)) for one in across.ticks(most=6)]
    drawn, top = [axes.level(frame, marks, unit="ms since the intended start")], 0.0
    for one, height in zip(found, heights, strict=True):
        drawn.append(_panel(one, top, top + heads, across))
        top += height
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description=description(found=found),
    )


def description(*, found: Sequence[Waterfall]) -> str:
    """The chart in words: how much of each kind of time."""
    return "; ".join(
        f"{words.name_of(one.pattern)}: {words.ms(one.mean_ms)}, of it "
        + ", ".join(
            f"{words.ms(spent)} {kind}" for kind in KINDS if (spent := total(one, kind=kind))
        )
        for one in found
    )


def total(found: Waterfall, *, kind: str) -> float:
    """Milliseconds of this kind over all steps."""
    return sum(part.ms for part in found.parts if part.kind == kind)


def steps_of(found: Waterfall) -> list[str]:
    """In their order."""
    return list(dict.fromkeys(part.step for part in found.parts))


def step_name(step: str) -> str:
    """As it stands in a chart."""
    return step.replace("_", " ")


def _panel(found: Waterfall, top: float, first: float, across: Linear) -> str:
    kind = f"s{words.place_of(found.pattern)}"
    label = words.short_name_of(found.pattern)
    said = f"{words.ms(found.mean_ms)}, the mean of {found.sagas} sagas"
    drawn = [
        svg.text(label, 2, top + LINE, kind=f"name {kind}"),
        svg.text(said, svg.width_of(label, bold=True) + 10, top + LINE, kind="mark"),
    ]
    for place, step in enumerate(steps_of(found)):
        parts = [part for part in found.parts if part.step == step]
        drawn.append(_row(step, parts, first + ROW * place, across, kind))
    return "".join(drawn)


def _row(step: str, parts: Sequence[Part], top: float, across: Linear, kind: str) -> str:
    drawn = [svg.text(step_name(step), across.start - 8, top + 12, anchor="end", kind="mark")]
    for part in parts:
        left, right = across(part.start), across(part.start + part.ms)
        drawn.append(
            svg.box(left, top, right - left, BAR, kind=f"{KINDS.get(part.kind, 'idle')} {kind}")
        )
    end = across(parts[-1].start + parts[-1].ms)
    spent = sum(part.ms for part in parts)
    drawn.append(svg.text(words.number(spent), end + 5, top + 12, kind="mark"))
    return "".join(drawn)
