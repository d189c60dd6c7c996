"""Computed surveys: every cell follows from laws with known parameters."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from loadtests.choosing import laws
from loadtests.choosing.figures import CAPACITY, CPU, HTTP_CALLS, MESSAGES, P50, P95, WAL, WRITES
from loadtests.choosing.laws import Situation
from loadtests.evaluating.results import Audit
from loadtests.surveying import grid
from loadtests.surveying.cells import UNITS, Cell, Rest, Stack, Survey
from loadtests.surveying.grid import Spot, SurveySettings

ORCHESTRATED, CHOREOGRAPHED = "orchestrated", "choreographed"
REST_MS = 20.0
CHECKOUTS = 1000
FULL_LOAD = 0.0
"""Stands for twice what a pattern can do."""

Parameters = Mapping[str, Sequence[float]]
KNOWN: dict[str, Parameters] = {
    ORCHESTRATED: {
        CAPACITY: (0.5, 0.4, 0.002),
        CPU: (0.5, 0.6, 6.0, 3.0, 0.012, 0.0006, 1.1),
        P50: (4.0, 3.0, 0.5, 0.9, 2.0),
        P95: (8.0, 5.0, 0.8, 1.1, 2.0),
        MESSAGES: (1e-9, 1e-9, 1e-9),
        HTTP_CALLS: (1.0, 0.1, 1.0, 1.0, 0.01, 0.001, 1.2),
        WAL: (2.0, 3.0, 18.0),
        WRITES: (0.2, 0.2, 6.0, 2.0, 0.006, 0.0008, 1.2),
    },
    CHOREOGRAPHED: {
        CAPACITY: (0.4, 0.35, 0.006),
        CPU: (1.0, 0.7, 9.0, 4.0, 0.02, 0.0005, 0.95),
        P50: (5.0, 3.5, 0.6, 2.0, 3.0),
        P95: (9.0, 6.0, 0.9, 2.4, 3.0),
        MESSAGES: (1.0, 1.0, 5.0),
        HTTP_CALLS: (1.0, 0.01, 0.5, 0.05, 0.008, 0.001, 0.9),
        WAL: (7.0, 4.5, 33.0),
        WRITES: (0.3, 0.2, 7.0, 2.5, 0.02, 0.001, 1.1),
    },
}


def survey(
    *,
    known: Mapping[str, Parameters] = KNOWN,
    noise: float = 0.0,
    held_out_off: float = 0.0,
    spots: Sequence[Spot] = (*grid.FITTED, *grid.HELD_OUT),
) -> Survey:
    """`noise`: standard deviation of each figure's relative error. `held_out_off`: by how much the
    held-out cells cost more CPU than the laws say."""
    chance = random.Random(1)
    settings = SurveySettings(
        patterns=list(known),
        spots=list(spots),
        loads=[10, 25, 75],
        refusals=[0, 0.3],
        seconds=3.5,
        seed=1,
    )
    stacks = []
    for spot in spots:
        cells = [
            _cell(pattern, known[pattern], spot, load, refusals, chance, noise)
            for pattern in known
            for load, refusals in [(FULL_LOAD, 0.0), *_loads(spot)]
        ]
        if spot.is_held_out:
            cells = [replace(cell, cpu_ms=_more(cell, held_out_off)) for cell in cells]
        stacks.append(_stack(spot, cells))
    return Survey(
        made_at="2026-01-02T03:04:05+00:00",
        seconds_taken=600,
        cores=2,
        settings=settings,
        units=UNITS,
        stacks=stacks,
    )


def following(*, base: Survey, pattern: str) -> Survey:
    """The same, but this pattern kept up at full load."""

    def as_offered(cell: Cell) -> Cell:
        if not cell.is_full or cell.pattern != pattern:
            return cell
        return replace(cell, load=cell.ended_per_second)

    stacks = [
        replace(stack, cells=[as_offered(cell) for cell in stack.cells]) for stack in base.stacks
    ]
    return replace(base, stacks=stacks)


def _loads(spot: Spot) -> list[tuple[float, float]]:
    if spot.is_held_out:
        return [(16, 0), (43, 0), (100, 0), (43, 0.15)]
    return [(10, 0), (25, 0), (75, 0), (180, 0), (25, 0.3), (180, 0.3)]


def _more(cell: Cell, share: float) -> float:
    at_rest = REST_MS * cell.measured_seconds
    return (cell.cpu_ms - at_rest) * (1 + share) + at_rest


def _stack(spot: Spot, cells: Sequence[Cell]) -> Stack:
    return Stack(
        spot=spot,
        made_at="2026-01-02T03:04:05+00:00",
        seconds_taken=100,
        environment={"machine": "a toaster, 2 cores"},
        rest=Rest(cpu_ms=REST_MS, wal_bytes=0, writes=0),
        audit=Audit(is_clean=True, output=""),
        was_stopped=False,
        caveats=[],
        cells=cells,
    )


def _cell(
    pattern: str,
    known: Parameters,
    spot: Spot,
    load: float,
    refusals: float,
    chance: random.Random,
    noise: float,
) -> Cell:
    is_full = load == FULL_LOAD
    at = Situation(steps=spot.steps, hop_ms=spot.hop_ms, refusals=refusals, load=load)
    capacity = laws.capacity(known[CAPACITY], at, 0.0)
    load = 2 * capacity if is_full else load
    use = 1.0 if is_full else load / capacity

    def noisy(value: float) -> float:
        return value * chance.gauss(1, noise)

    def total(figure: str, value) -> float:
        return noisy(value(known[figure], at, use)) * CHECKOUTS

    latency = laws.LATENCY[pattern].value
    seconds = CHECKOUTS / load
    return Cell(
        pattern=pattern,
        is_full=is_full,
        load=load,
        refusals=refusals,
        checkouts=CHECKOUTS,
        p50_ms=noisy(latency(known[P50], at, use)),
        p95_ms=noisy(latency(known[P95], at, use)),
        ended_per_second=noisy(capacity) if is_full else load,
        is_steady=not is_full,
        measured_seconds=seconds,
        cpu_ms=total(CPU, laws.shared) + REST_MS * seconds,
        wal_bytes=round(total(WAL, laws.single) * 1000),
        writes=round(total(WRITES, laws.shared)),
        messages=round(total(MESSAGES, laws.single)),
        http_calls=round(total(HTTP_CALLS, laws.shared)),
        lag_p99_ms=1.0,
    )
