"""The frame of a chart: its margins, grid, marks and the units of its axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from loadtests.drawing import svg, words

T = TypeVar("T")
NARROW = 500.0
"""Below this, names are short and few in a row."""
LINE = 16.0
"""From one line of text to the next."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where the plot is on a drawing of this size; the axes' words are around it."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @property
    def end(self) -> float:
        return self.width - self.right

    @property
    def floor(self) -> float:
        return self.height - self.bottom


def upright(frame: Frame, marks: Sequence[tuple[float, float]], *, unit: str) -> str:
    """The y axis: a line and a number at each (value, place), its unit above."""
    drawn = [svg.text(unit, 0.0, frame.top - LINE, kind="unit")]
    for value, place in marks:
        drawn.append(svg.line((frame.left, place), (frame.end, place), kind="grid"))
        drawn.append(
            svg.text(words.tick(value), frame.left - 6, place + 4, anchor="end", kind="mark")
        )
    return "".join(drawn)


def level(frame: Frame, marks: Sequence[tuple[str, float]], *, unit: str) -> str:
    """The x axis: a tick and its words at each place; those that would touch are left out."""
    drawn = [svg.line((frame.left, frame.floor), (frame.end, frame.floor), kind="axis")]
    taken = float("-inf")
    for label, place in marks:
        half = svg.width_of(label) / 2
        middle = min(max(place, half), frame.width - half)
        drawn.append(svg.line((place, frame.floor), (place, frame.floor + 4), kind="axis"))
        if middle - half > taken + 4:
            drawn.append(svg.text(label, middle, frame.floor + LINE, anchor="middle", kind="mark"))
            taken = middle + half
    drawn.append(svg.text(unit, frame.end, frame.floor + 2.2 * LINE, anchor="end", kind="unit"))
    return "".join(drawn)


def above(frame: Frame, labels: Sequence[tuple[str, str]]) -> str:
    """Words in their own colours above the plot, flush right, in rows: each (words, class)."""
    drawn: list[str] = []
    for up, row in enumerate(reversed(in_rows(labels, width=frame.width))):
        end = frame.end
        for label, kind in reversed(row):
            y = frame.top - LINE * (up + 1)
            drawn.append(svg.text(label, end, y, anchor="end", kind=f"name {kind}"))
            end -= svg.width_of(label, bold=True) + 10
    return "".join(drawn)


def in_rows(labels: Sequence[T], *, width: float) -> list[Sequence[T]]:
    """So many in a row as have room."""
    most = 2 if width < NARROW else 4
    return [labels[place : place + most] for place in range(0, len(labels), most)]
