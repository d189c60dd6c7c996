"""The modelled figures, and how each is read from a survey's cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from loadtests.choosing import laws
from loadtests.choosing.laws import Law, Situation
from loadtests.surveying.cells import Cell, Stack

LAG_MS = 5.0
LAG_SHARE = 0.05
"""The latencies of a window are not used if its generator was later than this, and later than this
share of the median."""
CPU, P50, P95, CAPACITY = "CPU", "p50", "p95", "capacity"
MESSAGES, HTTP_CALLS, WAL, WRITES = "messages", "HTTP calls", "WAL", "writes"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure of a cell. `value`: in the unit of its law. `key`: the same for cells of two
    patterns with the same checkouts, and for each visit. `is_full`: the pattern was saturated.
    `is_at_least`: of a capacity, if the pattern was never saturated."""

    at: Situation
    is_full: bool
    value: float
    key: tuple[object, ...]
    is_at_least: bool


class ModelledFigure(NamedTuple):
    """`of`: its value in a cell; None if the cell does not measure it. `laws`: by pattern, or one
    for all."""

    name: str
    laws: Law | Mapping[str, Law]
    of: Callable[[Stack, Cell], float | None]

    def law(self, pattern: str) -> Law:
        return self.laws if isinstance(self.laws, Law) else self.laws[pattern]


def points(*, figure: ModelledFigure, stacks: Sequence[Stack], pattern: str) -> list[Point]:
    """From all cells of these stacks that measure the figure."""
    return [
        Point(
            at=Situation(
                steps=stack.spot.steps,
                hop_ms=stack.spot.hop_ms,
                refusals=cell.refusals,
                load=cell.load,
            ),
            is_full=cell.is_full and cell.is_saturated,
            value=value,
            key=(stack.spot.place, *(("full", place) if cell.is_full else _asked(cell))),
            is_at_least=figure.name == CAPACITY and not _was_saturated(stack, pattern),
        )
        for stack in stacks
        for place, cell in _numbered(figure, stack, pattern)
        if (value := figure.of(stack, cell)) is not None
    ]


def _numbered(figure: ModelledFigure, stack: Stack, pattern: str) -> Iterable[tuple[int, Cell]]:
    """A pattern's cells with numbers, by which those of full load differ; for the capacity all have
    0, as it is of one cell, which may be another one in each visit."""
    own = [cell for cell in stack.cells if cell.pattern == pattern]
    return ((0, cell) for cell in own) if figure.name == CAPACITY else enumerate(own)


def _asked(cell: Cell) -> tuple[object, ...]:
    return (cell.asked,) if cell.asked else (cell.load, cell.refusals)


def _a_checkout(amount: str, *, per: float = 1) -> Callable[[Stack, Cell], float]:
    """The amount per checkout, without what the idle stack uses (if anything)."""

    def of(stack: Stack, cell: Cell) -> float:
        at_rest = getattr(stack.rest, amount, 0.0) * cell.measured_seconds
        spent: float = getattr(cell, amount) - at_rest
        return spent / cell.checkouts / per

    return of


def _is_calm(cell: Cell) -> bool:
    is_on_time = cell.lag_p99_ms <= max(LAG_MS, LAG_SHARE * cell.p50_ms)
    return not cell.is_full and cell.is_steady and is_on_time


def _capacity(stack: Stack, cell: Cell) -> float | None:
    """The best window of full load: disturbances only lower it, and a window in which the pattern
    kept up shows less than its capacity."""
    best = max(_full(stack, cell.pattern), key=_followed, default=None)
    return (_followed(cell) or None) if cell is best else None


def _followed(cell: Cell) -> float:
    """At most what was offered if the pattern kept up, as outcomes can come in a burst that could
    not be sustained."""
    return cell.ended_per_second if cell.is_saturated else min(cell.ended_per_second, cell.load)


def _was_saturated(stack: Stack, pattern: str) -> bool:
    return any(cell.is_saturated for cell in _full(stack, pattern))


def _full(stack: Stack, pattern: str) -> list[Cell]:
    return [cell for cell in stack.cells if cell.is_full and cell.pattern == pattern]


def _latency(percentile: str) -> Callable[[Stack, Cell], float | None]:
    return lambda _, cell: getattr(cell, percentile) if _is_calm(cell) else None


FIGURES = (
    ModelledFigure(CAPACITY, laws.CAPACITY, _capacity),
    ModelledFigure(CPU, laws.CPU, _a_checkout("cpu_ms")),
    ModelledFigure(P50, laws.LATENCY, _latency("p50_ms")),
    ModelledFigure(P95, laws.LATENCY, _latency("p95_ms")),
    ModelledFigure(MESSAGES, laws.MESSAGES, _a_checkout("messages")),
    ModelledFigure(HTTP_CALLS, laws.HTTP_CALLS, _a_checkout("http_calls")),
    ModelledFigure(WAL, laws.WAL, _a_checkout("wal_bytes", per=1000)),
    ModelledFigure(WRITES, laws.WRITES, _a_checkout("writes")),
)
"""Capacity first: the size of batches depends on it."""
