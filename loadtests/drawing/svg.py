"""SVG as text: elements, escaped; text of which the width is known well enough to place it."""

import math
from collections.abc import Sequence
from html import escape

LETTER, BOLD_LETTER = 0.6, 0.68
"""How wide letters of a sans-serif font are on average, as a share of their size; a little more,
because whose browser has which font is not known."""
SIZE = 12.0
Point = tuple[float, float]


def element(name: str, *children: str, **attributes: object) -> str:
    """`class_` and `stroke_width` are written as `class` and `stroke-width`. Children are SVG."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(words: str, x: float, y: float, *, anchor: str = "start", kind: str) -> str:
    """`kind`: its class; `name` is bold. `anchor`: start, middle or end."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, class_=kind)


def width_of(words: str, *, bold: bool = False) -> float:
    """How wide the words are, at most."""
    return len(words) * SIZE * (BOLD_LETTER if bold else LETTER)


def line(start: Point, end: Point, *, kind: str) -> str:
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=kind)


def box(x: float, y: float, width: float, height: float, *, kind: str) -> str:
    return element("rect", x=x, y=y, width=max(width, 0.0), height=height, class_=kind)


def path(points: Sequence[Point], *, kind: str) -> str:
    """A line through all points; nothing for fewer than two."""
    if len(points) < 2:
        return ""
    steps = "L".join(f"{_value(x)} {_value(y)}" for x, y in points)
    return element("path", d=f"M{steps}", class_=kind)


def picture(
    *children: str, width: float, height: float, name: str, title: str, description: str
) -> str:
    """A whole drawing. `name` makes its ids unique on the page."""
    return element(
        "svg",
        element("title", escape(title), id=f"{name}-title"),
        element("desc", escape(description), id=f"{name}-desc"),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _value(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        raise ValueError(f"{value} is no place on paper")
    return f"{value:.2f}".rstrip("0").rstrip(".")
