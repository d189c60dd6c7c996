"""Where the boxes of a graph go: in layers from top to bottom, with no box on another.

Layers by the longest way from a start, an order within each layer that keeps crossings few
(barycentres), then places (Sugiyama, Tagawa and Toda, 1981). A line over several layers has a
place of its own in each of them, so that it runs between the boxes, never through one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from checker.protocol.graph import Box, Graph

CHARACTER, LINE_HEIGHT, PADDING = 7.3, 20.0, 12.0
"""Of a monospaced font of 12 pixels, with a little to spare."""
HEIGHT = 2 * LINE_HEIGHT + 26.0
GAP, LAYER_GAP, MARGIN = 28.0, 54.0, 24.0
LANE = 14.0
"""Width of a line's place between boxes."""
SWEEPS = 24


class Cell(NamedTuple):
    """The place of an outcome at the foot of its box: from `x`, so wide."""

    x: float
    width: float


class Place(NamedTuple):
    """The place of a box, from its upper left corner."""

    x: float
    y: float
    width: float
    cells: tuple[Cell, ...]


class Line(NamedTuple):
    """From the foot of an outcome's cell to the head of a box, by these points."""

    points: tuple[tuple[float, float], ...]
    is_good: bool


class Layout(NamedTuple):
    width: float
    height: float
    places: Mapping[str, Place]
    lines: Sequence[Line]


class _Edge(NamedTuple):
    """`via`: the names of its places, from box to box."""

    start: str
    cell: int
    via: tuple[str, ...]
    is_good: bool


def lay_out(graph: Graph) -> Layout:
    """Places everything; the same graph always in the same way."""
    boxes = {box.name: box for box in graph.boxes}
    layer = _layers(graph.boxes)
    edges = list(_edges(graph.boxes, layer))
    widths = {name: _width(box) for name, box in boxes.items()}
    for edge in edges:
        for number, name in enumerate(edge.via[1:-1], start=1):
            widths[name], layer[name] = LANE, layer[edge.start] + number
    rows = _ordered(layer, edges)
    middles = _middles(rows, edges, widths)
    left = min(middles[name] - widths[name] / 2 for name in widths) - MARGIN
    places = {
        name: _place(box, middles[name] - left, widths[name], _top(layer[name]))
        for name, box in boxes.items()
    }
    lanes = {name: (middles[name] - left, _top(layer[name])) for name in widths}
    return Layout(
        width=max(middles[name] + widths[name] / 2 for name in widths) - left + MARGIN,
        height=_top(len(rows)) - LAYER_GAP + MARGIN,
        places=places,
        lines=[_line(edge, places, lanes) for edge in edges],
    )


def _top(layer: int) -> float:
    return MARGIN + layer * (HEIGHT + LAYER_GAP)


def _cell_widths(box: Box) -> list[float]:
    return [len(outcome.text) * CHARACTER + 2 * PADDING for outcome in box.outcomes]


def _width(box: Box) -> float:
    title = max(len(box.who), len(box.what)) * CHARACTER + 2 * PADDING
    return max(title, sum(_cell_widths(box)))


def _place(box: Box, middle: float, width: float, top: float) -> Place:
    x = middle - width / 2
    widths = _cell_widths(box)
    spare = (width - sum(widths)) / len(widths) if widths else 0.0
    cells, at = [], x
    for one in widths:
        cells.append(Cell(at, one + spare))
        at += one + spare
    return Place(x, top, width, tuple(cells))


def _layers(boxes: Sequence[Box]) -> dict[str, int]:
    """Each below all that lead to it; what nothing leads to, just above what it leads to.

    A circle is cut where it comes back to a box that is still being placed.
    """
    above: dict[str, set[str]] = {box.name: set() for box in boxes}
    for start, to in _acyclic(boxes):
        above[to].add(start)
    layer: dict[str, int] = {}

    def place(name: str) -> int:
        if name not in layer:
            layer[name] = 1 + max((place(one) for one in above[name]), default=-1)
        return layer[name]

    for box in boxes:
        place(box.name)
    for box in boxes:
        below = [layer[to] for outcome in box.outcomes for to in outcome.to]
        if not above[box.name] and below:
            layer[box.name] = max(0, min(below) - 1)
    return layer


def _acyclic(boxes: Sequence[Box]) -> Iterator[tuple[str, str]]:
    leads = {box.name: [to for one in box.outcomes for to in one.to] for box in boxes}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        done.add(name)
        for to in leads[name]:
            if to not in (*way, name):
                yield name, to
                if to not in done:
                    yield from visit(to, (*way, name))

    for box in boxes:
        if box.name not in done:
            yield from visit(box.name, ())


def _edges(boxes: Sequence[Box], layer: Mapping[str, int]) -> Iterator[_Edge]:
    for box in boxes:
        for cell, outcome in enumerate(box.outcomes):
            for to in outcome.to:
                between = range(layer[box.name] + 1, layer[to])
                lanes = [f"{box.name}/{cell}/{to}/{number}" for number in between]
                yield _Edge(box.name, cell, (box.name, *lanes, to), outcome.is_good)


def _ordered(layer: Mapping[str, int], edges: Sequence[_Edge]) -> list[list[str]]:
    """The names in each layer, from left to right."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for name, number in layer.items():
        rows[number].append(name)
    above, below = _neighbours(edges)
    for sweep in range(SWEEPS):
        beside, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        at = {name: place for row in rows for place, name in enumerate(row)}
        for row in order:
            row.sort(key=lambda name: _mean([at[one] for one in beside[name]], at[name]))
            at |= {name: place for place, name in enumerate(row)}
    return rows


def _neighbours(edges: Sequence[_Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    names = {name for edge in edges for name in edge.via}
    above: dict[str, list[str]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        for upper, lower in zip(edge.via, edge.via[1:], strict=False):
            above[lower].append(upper)
            below[upper].append(lower)
    return above, below


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _middles(
    rows: Sequence[Sequence[str]], edges: Sequence[_Edge], widths: Mapping[str, float]
) -> dict[str, float]:
    """Each as near to what it is joined to as its neighbours in the layer let it."""
    above, below = _neighbours(edges)
    middles: dict[str, float] = {}
    for row in rows:
        middles |= _packed(row, widths, dict.fromkeys(row, 0.0))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wished = {
                name: _mean([middles[one] for one in above[name] + below[name]], middles[name])
                for name in row
            }
            middles |= _packed(row, widths, wished)
    return middles


def _packed(
    row: Sequence[str], widths: Mapping[str, float], wished: Mapping[str, float]
) -> dict[str, float]:
    """In their order and apart, the sum of squares from the wished places smallest.

    Pool adjacent violators: those that push each other form one block, moved as one.
    """
    offset, offsets = 0.0, []
    for before, name in zip([None, *row], row, strict=False):
        offset += (widths[before] + widths[name]) / 2 + GAP if before else 0.0
        offsets.append(offset)
    blocks: list[list[float]] = []
    for name, one in zip(row, offsets, strict=True):
        blocks.append([wished[name] - one])
        while len(blocks) > 1 and _mean(blocks[-2], 0) > _mean(blocks[-1], 0):
            last = blocks.pop()
            blocks[-1] += last
    free = [_mean(block, 0) for block in blocks for _ in block]
    return {name: at + one for name, at, one in zip(row, free, offsets, strict=True)}


def _line(
    edge: _Edge, places: Mapping[str, Place], lanes: Mapping[str, tuple[float, float]]
) -> Line:
    cell, start = places[edge.start].cells[edge.cell], places[edge.start]
    points = [(cell.x + cell.width / 2, start.y + HEIGHT)]
    for name in edge.via[1:-1]:
        x, y = lanes[name]
        points += [(x, y), (x, y + HEIGHT)]
    end = places[edge.via[-1]]
    points.append((end.x + end.width / 2, end.y))
    return Line(tuple(points), edge.is_good)
