"""How sure a decision is: by how much one of two is better, between which bounds."""

from collections.abc import Sequence

from loadtests.drawing import axes, svg, verdicts, words
from loadtests.drawing.axes import LINE, Frame
from loadtests.drawing.conclusions import Interval, Verdict
from loadtests.drawing.scales import Linear
from loadtests.drawing.verdicts import OF_INTEREST

ROW = 42.0
LEAST, MOST = 0.1, 2.0
"""The axis ends at this share at least, and at this at most."""


def chart(*, found: Sequence[Verdict], width: float, name: str, title: str) -> str:
    """One pair of patterns: a row a figure; left of the middle the first is better, right of it
    the second. `found` must not be empty."""
    first, second = found[0].first, found[0].second
    frame = Frame(width=width, height=ROW * len(found) + 74, left=10, right=10, top=26, bottom=48)
    furthest = max((_reach(one) for one in found), default=LEAST)
    end = min(max(furthest * 1.1, LEAST), MOST)
    across = Linear(low=-end, high=end, start=frame.left, end=frame.end)
    drawn = [_ground(frame, across)]
    drawn += [
        svg.text(f"← {_short(first)} better", 0, 14, kind=f"name {_kind(first)}"),
        svg.text(
            f"{_short(second)} better →", width, 14, anchor="end", kind=f"name {_kind(second)}"
        ),
    ]
    drawn += [_row(one, frame.top + ROW * place, across) for place, one in enumerate(found)]
    return svg.picture(
        *drawn,
        width=width,
        height=frame.height,
        name=name,
        title=title,
        description=" ".join(f"{one.figure}: {verdicts.sentence(one)}" for one in found),
    )


def _ground(frame: Frame, across: Linear) -> str:
    marks = [(words.signed(abs(one))[1:], across(one)) for one in across.ticks(most=6)]
    left, right = across(-OF_INTEREST), across(OF_INTEREST)
    return (
        svg.box(left, frame.top, right - left, frame.floor - frame.top, kind="band")
        + svg.line((across(0), frame.top), (across(0), frame.floor), kind="axis")
        + axes.level(frame, marks, unit="better by; grey: less than 5 %, of no interest")
    )


def _row(one: Verdict, top: float, across: Linear) -> str:
    drawn = [svg.text(one.figure, across.start, top + LINE, kind="mark")]
    seen = _seen(one)
    if seen is None:
        return drawn[0] + svg.text("no interval", across.end, top + LINE, anchor="end", kind="mark")
    kind = _kind(one.better) if one.better else "s3"
    middle = top + LINE + 13
    drawn.append(
        svg.line((across(seen.low), middle), (across(seen.high), middle), kind=f"bounds {kind}")
    )
    drawn.append(
        svg.element("circle", cx=across(seen.estimate), cy=middle, r=5, class_=f"fill {kind}")
    )
    return "".join(drawn)


def _seen(one: Verdict) -> Interval | None:
    """The second's advantage as a share: to the right of 0 the second is better."""
    if one.ratio is None:
        return None
    ratio = verdicts.inverse(one.ratio) if one.lower_is_better else one.ratio
    return Interval(estimate=ratio.estimate - 1, low=ratio.low - 1, high=ratio.high - 1)


def _reach(one: Verdict) -> float:
    seen = _seen(one)
    return max(abs(seen.low), abs(seen.high)) if seen else 0.0


def _kind(pattern: str) -> str:
    return f"s{words.place_of(pattern)}"


def _short(pattern: str) -> str:
    return words.short_name_of(pattern)
