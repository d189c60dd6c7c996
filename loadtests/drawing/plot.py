"""A chart as SVG text: its elements, the scales that place values on it, its frame and axes.

Every text argument is escaped. The width of text is estimated, closely enough to place it.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from loadtests.drawing import words

LETTER, BOLD_LETTER = 0.6, 0.68
"""The mean width of letters of a sans-serif font, as a share of their size; a little more than
measured, because browsers have different fonts."""
SIZE = 12.0
LINE = 16.0
"""From one line of text to the next."""
NARROW = 500.0
"""Below this width, names are short, and fewer are in a row."""
NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
LEAST = 1e-9
PERCENTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """The elements of a chart, its height, and its content in words."""

    height: float
    elements: Sequence[str]
    description: str


def picture(drawn: Drawing, *, width: float, name: str, title: str) -> str:
    """A whole SVG. `name` makes its ids unique on the page."""
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(drawn.description), id=f"{name}-desc"),
        *drawn.elements,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(drawn.height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def element(name: str, *children: str, **attributes: object) -> str:
    """`class_` and `stroke_width` are written as `class` and `stroke-width`. Children are SVG."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(content: str, x: float, y: float, *, anchor: str = "start", kind: str) -> str:
    """`kind`: its class; `name` is bold. `anchor`: start, middle or end."""
    return element("text", escape(content), x=x, y=y, text_anchor=anchor, class_=kind)


def heading(label: str, content: str, *, y: float, kind: str) -> str:
    """A bold, coloured label at the left, and plain text beside it."""
    left = width_of(label, bold=True) + 10
    return text(label, 2, y, kind=f"name {kind}") + text(content, left, y, kind="mark")


def width_of(content: str, *, bold: bool = False) -> float:
    """An upper estimate of the text's width."""
    return len(content) * SIZE * (BOLD_LETTER if bold else LETTER)


def line(start: Point, end: Point, *, kind: str) -> str:
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=kind)


def box(x: float, y: float, width: float, height: float, *, kind: str) -> str:
    return element("rect", x=x, y=y, width=max(width, 0.0), height=height, class_=kind)


def dot(x: float, y: float, *, radius: int = 4, kind: str) -> str:
    return element("circle", cx=x, cy=y, r=radius, class_=kind)


def path(points: Sequence[Point], *, kind: str) -> str:
    """A line through all points; nothing for fewer than two."""
    if len(points) < 2:
        return ""
    steps = "L".join(f"{_value(x)} {_value(y)}" for x, y in points)
    return element("path", d=f"M{steps}", class_=kind)


def _value(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        raise ValueError(f"{value} can't be drawn")
    return f"{value:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, kw_only=True)
class Linear:
    """`low` to `high`, drawn from `start` to `end`; a value outside is drawn at the border."""

    low: float = 0.0
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, *, most: int) -> list[float]:
        """Round numbers within the scale, at most about `most`."""
        step = step_for(span=self.high - self.low, most=most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(place * step, 10) for place in range(first, last + 1)]


@dataclass(frozen=True, kw_only=True)
class Log:
    """As Linear, with equal distances for equal factors. `low` must be above 0."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = math.log10(self.low), math.log10(self.high)
        even = Linear(low=low, high=high, start=self.start, end=self.end)
        return even(math.log10(max(value, self.low)))

    def ticks(self, *, most: int) -> list[float]:
        """Powers of ten, and multiples of them where there is room."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for parts in ((1, 2, 5), (1, 3), (1,)):
            found = [part * 10.0**power for power in powers for part in parts]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= most:
                break
        return found


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Shares (0 to `high`, below 1): each further nine is as wide as the one before (the axis of
    Gil Tene's HdrHistogram), so the slowest 0.1 % gets as much room as the slowest 10 %.
    """

    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        even = Linear(high=_nines(self.high), start=self.start, end=self.end)
        return even(_nines(min(value, self.high)))

    def ticks(self) -> list[float]:
        return [share for share in PERCENTILES if share <= self.high]

    def grid(self, *, count: int) -> list[float]:
        """`count` shares, evenly spaced when drawn."""
        nines = _nines(self.high)
        return [1 - 10 ** (-nines * place / (count - 1)) for place in range(count)]


def _nines(share: float) -> float:
    return -math.log10(1 - share)


def step_for(*, span: float, most: int) -> float:
    """The smallest round step that cuts `span` into at most `most` pieces."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in NICE if step * power >= rough * (1 - 1e-9))


def rounded_up(value: float, *, most: int = 5) -> float:
    """A round end, at least `value`, for an axis from 0; 1 for a value near 0."""
    if value < LEAST:
        return 1.0
    step = step_for(span=value, most=most)
    return math.ceil(value / step - 1e-9) * step


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The place of the plot in a drawing of this size; the axes' labels are around it.

    `between`: the free height between the plot and the names above it.
    """

    width: float
    height: float
    left: float = 52.0
    right: float = 12.0
    top: float = 0.0
    bottom: float = 48.0
    between: float = 0.0

    @classmethod
    def below_names(
        cls,
        names: Collection[str],
        *,
        width: float,
        height: float,
        left: float = 52.0,
        between: float = 0.0,
    ) -> "Frame":
        """With room for rows of names above; `height`: with the first row of them."""
        more = between + LINE * (len(_rows(list(names), width)) - 1)
        return cls(width=width, height=height + more, left=left, top=44 + more, between=between)

    @property
    def end(self) -> float:
        return self.width - self.right

    @property
    def floor(self) -> float:
        return self.height - self.bottom

    def across(self, *, high: float, low: float = 0.0) -> Linear:
        """From the left to the right."""
        return Linear(low=low, high=high, start=self.left, end=self.end)

    def up(self, *, high: float) -> Linear:
        """From 0 at the floor to the top."""
        return Linear(high=high, start=self.floor, end=self.top)

    def band(self, left: float, right: float) -> str:
        """Shaded from top to floor between these places."""
        return box(left, self.top, right - left, self.floor - self.top, kind="band")

    def upright(self, scale: Linear | Log, *, most: int, unit: str) -> str:
        """The y axis: a line and a number at each tick, the unit above."""
        drawn = [text(unit, 0.0, self.top - LINE, kind="unit")]
        for value in scale.ticks(most=most):
            place = scale(value)
            drawn.append(line((self.left, place), (self.end, place), kind="grid"))
            drawn.append(
                text(words.tick(value), self.left - 6, place + 4, anchor="end", kind="mark")
            )
        return "".join(drawn)

    def level(self, scale: Linear, *, unit: str, most: int = 6) -> str:
        """The x axis with round numbers."""
        marks = [(words.tick(tick), scale(tick)) for tick in scale.ticks(most=most)]
        return self.marked(marks, unit=unit)

    def marked(self, marks: Sequence[tuple[str, float]], *, unit: str) -> str:
        """The x axis: a tick and its label at each place; a label that would touch is left out."""
        drawn = [line((self.left, self.floor), (self.end, self.floor), kind="axis")]
        taken = float("-inf")
        for label, place in marks:
            half = width_of(label) / 2
            middle = min(max(place, half), self.width - half)
            drawn.append(line((place, self.floor), (place, self.floor + 4), kind="axis"))
            if middle - half > taken + 4:
                drawn.append(text(label, middle, self.floor + LINE, anchor="middle", kind="mark"))
                taken = middle + half
        drawn.append(text(unit, self.end, self.floor + 2.2 * LINE, anchor="end", kind="unit"))
        return "".join(drawn)

    def names(self, patterns: Collection[str], *, in_full: bool = False) -> str:
        """The patterns' names in their own colours above the plot, flush right, in rows."""
        drawn: list[str] = []
        for up, row in enumerate(reversed(_rows(list(patterns), self.width))):
            end = self.end
            for pattern in reversed(row):
                label = words.name_of(pattern) if in_full else words.short_name_of(pattern)
                y = self.top - self.between - LINE * (up + 1)
                kind = f"name {words.colour_of(pattern)}"
                drawn.append(text(label, end, y, anchor="end", kind=kind))
                end -= width_of(label, bold=True) + 10
        return "".join(drawn)


def _rows(names: Sequence[str], width: float) -> list[Sequence[str]]:
    """As many in a row as have room."""
    most = 2 if width < NARROW else 4
    return [names[place : place + most] for place in range(0, len(names), most)]
