"""The figures that are modelled, and how each is read from a survey's cells."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from loadtests.choosing import laws
from loadtests.choosing.laws import Law, Situation
from loadtests.surveying.cells import Cell, Stack

LAG_MS = 5.0
LAG_SHARE = 0.05
"""A window whose generator was later than this, and than this share of the median, is no measure of
latency."""
CPU, P50, P95, CAPACITY = "CPU", "p50", "p95", "capacity"
MESSAGES, HTTP_CALLS, WAL, WRITES = "messages", "HTTP calls", "WAL", "writes"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure of a cell. `value`: in the unit of its law. `key`: the same for the cells of two
    patterns that met the same checkouts, and for each visit. `is_full`: more was offered than the
    pattern could do. `is_at_least`: of the capacity, where it never was."""

    at: Situation
    is_full: bool
    value: float
    key: tuple[object, ...]
    is_at_least: bool


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`of`: its value in a cell; None where the cell is no measure of it."""

    name: str
    law: Callable[[str], Law]
    """By pattern."""
    of: Callable[[Stack, Cell], float | None]


def points(*, figure: Figure, stacks: Sequence[Stack], pattern: str) -> list[Point]:
    """Of all these stacks' cells that measure the figure."""
    return [
        Point(
            at=_situation(stack, cell),
            is_full=cell.is_full and cell.is_saturated,
            value=value,
            key=(stack.spot.place, *(("full", place) if cell.is_full else _asked(cell))),
            is_at_least=figure.name == CAPACITY and not _was_saturated(stack, pattern),
        )
        for stack in stacks
        for place, cell in _numbered(figure, stack, pattern)
        if (value := figure.of(stack, cell)) is not None
    ]


def _situation(stack: Stack, cell: Cell) -> Situation:
    return Situation(
        steps=stack.spot.steps,
        hop_ms=stack.spot.hop_ms,
        refusals=cell.refusals,
        load=cell.load,
    )


def _numbered(figure: Figure, stack: Stack, pattern: str) -> Iterable[tuple[int, Cell]]:
    """A pattern's cells, those of full load told apart; not for the capacity: it is of one of them,
    be it another one in each visit."""
    own = [one for one in stack.cells if one.pattern == pattern]
    return ((0, one) for one in own) if figure.name == CAPACITY else enumerate(own)


def _asked(cell: Cell) -> tuple[object, ...]:
    return (cell.asked,) if cell.asked else (cell.load, cell.refusals)


def _cpu(stack: Stack, cell: Cell) -> float:
    """Without what the stack uses at rest meanwhile."""
    return (cell.cpu_ms - stack.rest.cpu_ms * cell.measured_seconds) / cell.checkouts


def _wal(stack: Stack, cell: Cell) -> float:
    spent = cell.wal_bytes - stack.rest.wal_bytes * cell.measured_seconds
    return spent / cell.checkouts / 1000


def _writes(stack: Stack, cell: Cell) -> float:
    return (cell.writes - stack.rest.writes * cell.measured_seconds) / cell.checkouts


def _is_calm(cell: Cell) -> bool:
    is_on_time = cell.lag_p99_ms <= max(LAG_MS, LAG_SHARE * cell.p50_ms)
    return not cell.is_full and cell.is_steady and is_on_time


def _capacity(stack: Stack, cell: Cell) -> float | None:
    """The best of the windows of full load: whatever else happened on the machine made them less,
    and one that could follow has shown less than the pattern can do."""
    best = max(_full(stack, cell.pattern), key=_followed, default=None)
    return (_followed(cell) or None) if cell is best else None


def _followed(cell: Cell) -> float:
    """Where all that was offered was followed, no more than that: outcomes can come in a rush that
    no load could keep up."""
    return cell.ended_per_second if cell.is_saturated else min(cell.ended_per_second, cell.load)


def _was_saturated(stack: Stack, pattern: str) -> bool:
    return any(one.is_saturated for one in _full(stack, pattern))


def _full(stack: Stack, pattern: str) -> list[Cell]:
    return [one for one in stack.cells if one.is_full and one.pattern == pattern]


def _p50(_: Stack, cell: Cell) -> float | None:
    return cell.p50_ms if _is_calm(cell) else None


def _p95(_: Stack, cell: Cell) -> float | None:
    return cell.p95_ms if _is_calm(cell) else None


FIGURES = (
    Figure(name=CAPACITY, law=lambda _: laws.CAPACITY, of=_capacity),
    Figure(name=CPU, law=lambda _: laws.CPU, of=_cpu),
    Figure(name=P50, law=laws.LATENCY.__getitem__, of=_p50),
    Figure(name=P95, law=laws.LATENCY.__getitem__, of=_p95),
    Figure(
        name=MESSAGES,
        law=lambda _: laws.MESSAGES,
        of=lambda _, cell: cell.messages / cell.checkouts,
    ),
    Figure(
        name=HTTP_CALLS,
        law=lambda _: laws.HTTP_CALLS,
        of=lambda _, cell: cell.http_calls / cell.checkouts,
    ),
    Figure(name=WAL, law=lambda _: laws.WAL, of=_wal),
    Figure(name=WRITES, law=lambda _: laws.WRITES, of=_writes),
)
"""Capacity first: how full the batches are depends on it."""
