"""Checkouts that were accepted and have not ended, while a participant stands still and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtests.drawing import axes, svg, words
from loadtests.drawing.axes import LINE, Frame
from loadtests.drawing.scales import Linear, rounded_up
from loadtests.measuring.samples import Sample

LOOKS = 160
"""At even distances over a window and what comes after it."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """A window's backlog at even distances from its first intended start, `seconds` in all."""

    seconds: float
    waiting: Sequence[int]

    @property
    def highest(self) -> int:
        return max(self.waiting, default=0)


def course_of(*, samples: Sequence[Sample], seconds: float) -> Course:
    """Of a window that is looked at for so long."""
    start = min((one.intended_at for one in samples), default=0.0)
    accepted = [one for one in samples if one.saga_id and one.answered_at]
    times = [start + seconds * look / LOOKS for look in range(LOOKS + 1)]
    return Course(
        seconds=seconds,
        waiting=[
            sum(
                one.answered_at <= at and (not one.ended_at or one.ended_at > at)
                for one in accepted
            )
            for at in times
        ],
    )


def chart(
    *,
    found: Mapping[str, Sequence[Course]],
    pause: tuple[float, float],
    width: float,
    name: str,
    title: str,
) -> str:
    """A line a window; shaded, from when to when a participant stood still."""
    more = LINE * (len(axes.in_rows(list(found), width=width)) - 1)
    frame = Frame(width=width, height=280 + more, left=52, right=12, top=44 + more, bottom=48)
    every = [one for courses in found.values() for one in courses]
    seconds = max((one.seconds for one in every), default=1.0)
    highest = max((one.highest for one in every), default=0)
    up = Linear(low=0, high=rounded_up(max(highest, 5)), start=frame.floor, end=frame.top)
    across = Linear(low=0, high=seconds, start=frame.left, end=frame.end)
    left, right = across(pause[0]), across(pause[1])
    drawn = [
        svg.box(left, frame.top, right - left, frame.floor - frame.top, kind="band"),
        axes.upright(frame, [(one, up(one)) for one in up.ticks(most=5)], unit="checkouts"),
        axes.level(
            frame, [(words.tick(one), across(one)) for one in across.ticks(most=8)], unit="s"
        ),
    ]
    for pattern, courses in found.items():
        kind = f"s{words.place_of(pattern)}"
        for one in courses:
            points = [
                (across(one.seconds * look / max(len(one.waiting) - 1, 1)), up(count))
                for look, count in enumerate(one.waiting)
            ]
            drawn.append(svg.path(points, kind=f"line {kind}"))
    names = [(words.short_name_of(one), f"s{words.place_of(one)}") for one in found]
    drawn.append(axes.above(frame, names))
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description="; ".join(
            f"{words.name_of(one)}: at most {max((c.highest for c in courses), default=0)} waiting"
            for one, courses in found.items()
        ),
    )
