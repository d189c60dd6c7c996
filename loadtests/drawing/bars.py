"""Amounts as bars: in a stack, side by side, and each single one as a dot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.drawing import axes, svg, words
from loadtests.drawing.axes import LINE, Frame
from loadtests.drawing.scales import Linear, rounded_up

THICK = 30.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of a stack. `kind`: its class, which gives it its colour."""

    label: str
    short: str
    """For where the label does not fit; empty: nothing then."""
    amount: float
    kind: str


@dataclass(frozen=True, kw_only=True)
class Stack:
    label: str
    kind: str
    said: str
    """At its end: the total in words."""
    parts: Sequence[Part]

    @property
    def total(self) -> float:
        return sum(one.amount for one in self.parts)


def stacks(*, every: Sequence[Stack], unit: str, width: float, name: str, title: str) -> str:
    """One bar a stack on a common axis, each under its name; parts are named where they fit."""
    row = THICK + 2.2 * LINE
    frame = Frame(width=width, height=row * len(every) + 44, left=2, right=14, top=4, bottom=44)
    highest = max((one.total for one in every), default=0.0)
    across = Linear(low=0, high=rounded_up(highest), start=frame.left, end=frame.end)
    marks = [(words.tick(one), across(one)) for one in across.ticks(most=6)]
    drawn = [axes.level(frame, marks, unit=unit)]
    for place, one in enumerate(every):
        drawn.append(_stack(one, frame.top + place * row, across))
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description="; ".join(f"{one.label}: {_parts_said(one)}" for one in every),
    )


def _stack(one: Stack, top: float, across: Linear) -> str:
    drawn = [
        svg.text(one.label, 2, top + LINE, kind=f"name {one.kind}"),
        svg.text(one.said, svg.width_of(one.label, bold=True) + 10, top + LINE, kind="mark"),
    ]
    reached = 0.0
    for part in one.parts:
        left, right = across(reached), across(reached + part.amount)
        reached += part.amount
        drawn.append(svg.box(left, top + LINE + 6, right - left, THICK, kind=f"part {part.kind}"))
        room = right - left - 6
        fits = [one for one in (part.label, part.short) if svg.width_of(one, bold=True) < room]
        if fits:
            place = (left + right) / 2, top + LINE + 10 + THICK / 2
            drawn.append(svg.text(fits[0], *place, anchor="middle", kind=f"on {part.kind}"))
    return "".join(drawn)


def _parts_said(one: Stack) -> str:
    return ", ".join(
        f"{part.label} {words.number(part.amount)}" for part in one.parts if part.amount
    )


def pairs(
    *,
    rows: Sequence[tuple[str, Mapping[str, float], Mapping[str, str]]],
    width: float,
    name: str,
    title: str,
) -> str:
    """For each figure a bar a pattern, its value beside it. Every figure has a scale of its own.

    A row is (figure, amounts by pattern, their words by pattern).
    """
    bar, said = 14.0, 92.0
    heights = [LINE + (bar + 4) * len(amounts) + 12 for _, amounts, _ in rows]
    drawn, top = [], 0.0
    for (label, amounts, texts), height in zip(rows, heights, strict=True):
        drawn.append(svg.text(label, 2, top + LINE - 2, kind="mark"))
        across = Linear(
            low=0, high=max([*amounts.values(), 1e-9]), start=2.0, end=width - said - 100
        )
        for place, (pattern, amount) in enumerate(amounts.items()):
            y = top + LINE + 4 + place * (bar + 4)
            kind = f"s{words.place_of(pattern)}"
            drawn.append(svg.box(2.0, y, across(amount) - 2.0 + 1, bar, kind=f"fill {kind}"))
            shown = f"{texts[pattern]}  {words.short_name_of(pattern)}"
            drawn.append(svg.text(shown, across(amount) + 8, y + 11, kind=f"name {kind}"))
        top += height
    return svg.picture(
        *drawn,
        width=width,
        height=top,
        name=name,
        title=title,
        description="; ".join(
            f"{label}: " + ", ".join(f"{words.name_of(one)} {text}" for one, text in texts.items())
            for label, _, texts in rows
        ),
    )


def dots(
    *, found: Mapping[str, Sequence[float]], unit: str, width: float, name: str, title: str
) -> str:
    """A dot for each value (ms), one row a pattern, its median marked."""
    frame = Frame(width=width, height=52.0 * len(found) + 48, left=8, right=14, top=8, bottom=46)
    values = [one for every in found.values() for one in every if not math.isinf(one)] or [1.0]
    across = Linear(low=0, high=rounded_up(max(values)), start=frame.left, end=frame.end)
    marks = [(words.tick(one), across(one)) for one in across.ticks(most=6)]
    drawn = [axes.level(frame, marks, unit=unit)]
    for place, (pattern, every) in enumerate(found.items()):
        top = frame.top + place * 52.0
        drawn.append(_dots(pattern, sorted(every), top, across))
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description="; ".join(
            f"{words.name_of(one)}: {len(every)} of them" for one, every in found.items()
        ),
    )


MOST_DOTS = 300


def _dots(pattern: str, ordered: Sequence[float], top: float, across: Linear) -> str:
    kind = f"s{words.place_of(pattern)}"
    known = [one for one in ordered if not math.isinf(one)]
    shown = known[:: max(len(known) // MOST_DOTS, 1)]
    drawn = [
        svg.element("circle", cx=across(one), cy=top + 32, r=4, class_=f"dot {kind}")
        for one in shown
    ]
    label = words.short_name_of(pattern)
    said = "none"
    if known:
        middle = known[(len(known) - 1) // 2]
        place = across(middle)
        drawn.append(svg.line((place, top + 22), (place, top + 42), kind=f"line {kind}"))
        said = f"median {words.ms(middle)}, slowest {words.ms(known[-1])}"
    right = svg.width_of(label, bold=True) + 10
    return (
        svg.text(label, 2, top + 14, kind=f"name {kind}")
        + svg.text(said, right, top + 14, kind="mark")
        + "".join(drawn)
    )
