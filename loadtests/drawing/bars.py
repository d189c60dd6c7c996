"""Amounts as bars: in a stack, and side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.drawing import plot, words
from loadtests.drawing.plot import LINE, Drawing, Frame, Linear

THICK = 30.0


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A piece of a stack. `kind`: its class, which gives it its colour."""

    label: str
    short: str = ""
    """Shown where the label does not fit; empty: nothing is shown there."""
    amount: float
    kind: str


@dataclass(frozen=True, kw_only=True)
class StackedBar:
    """A pattern's amounts. `description`: the total in words, beside its name."""

    pattern: str
    description: str
    parts: Sequence[Segment]


def stacks(*, every: Sequence[StackedBar], unit: str, width: float) -> Drawing:
    """One bar per stack on a common axis, under its name; a part has its label where that fits."""
    row = THICK + 2.2 * LINE
    frame = Frame(width=width, height=row * len(every) + 44, left=2, right=14, top=4, bottom=44)
    highest = max((sum(part.amount for part in stack.parts) for stack in every), default=0.0)
    across = frame.across(high=plot.rounded_up(highest))
    drawn = [frame.level(across, unit=unit)]
    for place, bar in enumerate(every):
        drawn.append(_stack(bar, frame.top + place * row, across))
    description = "; ".join(_parts(stack) for stack in every)
    return Drawing(height=frame.height, elements=drawn, description=description)


def _stack(bar: StackedBar, top: float, across: Linear) -> str:
    kind = words.colour_of(bar.pattern)
    drawn = [plot.heading(words.name_of(bar.pattern), bar.description, y=top + LINE, kind=kind)]
    reached = 0.0
    for part in bar.parts:
        left, right = across(reached), across(reached + part.amount)
        reached += part.amount
        drawn.append(plot.box(left, top + LINE + 6, right - left, THICK, kind=f"part {part.kind}"))
        room = right - left - 6
        fits = [
            label for label in (part.label, part.short) if plot.width_of(label, bold=True) < room
        ]
        if fits:
            place = (left + right) / 2, top + LINE + 10 + THICK / 2
            drawn.append(plot.text(fits[0], *place, anchor="middle", kind=f"on {part.kind}"))
    return "".join(drawn)


def _parts(stack: StackedBar) -> str:
    parts = [f"{part.label} {words.number(part.amount)}" for part in stack.parts if part.amount]
    return f"{words.name_of(stack.pattern)}: {', '.join(parts)}"


def pairs(*, rows: Mapping[str, Mapping[str, float]], width: float) -> Drawing:
    """For each figure one bar per pattern, with its value. Each figure has its own scale.

    `rows`: by figure, the amounts by pattern.
    """
    bar, room = 14.0, 192.0
    drawn, description, top = [], [], 0.0
    for label, amounts in rows.items():
        drawn.append(plot.text(label, 2, top + LINE - 2, kind="mark"))
        across = Linear(high=max([*amounts.values(), 1e-9]), start=2.0, end=width - room)
        for place, (pattern, amount) in enumerate(amounts.items()):
            y = top + LINE + 4 + place * (bar + 4)
            kind = words.colour_of(pattern)
            drawn.append(plot.box(2.0, y, across(amount) - 2.0 + 1, bar, kind=f"fill {kind}"))
            shown = f"{words.number(amount)}  {words.short_name_of(pattern)}"
            drawn.append(plot.text(shown, across(amount) + 8, y + 11, kind=f"name {kind}"))
        listed = [f"{words.name_of(p)} {words.number(n)}" for p, n in amounts.items()]
        description.append(f"{label}: {', '.join(listed)}")
        top += LINE + (bar + 4) * len(amounts) + 12
    return Drawing(height=top, elements=drawn, description="; ".join(description))
