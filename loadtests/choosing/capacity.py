"""From one measured machine (a cell) to many checkouts per second: how many cells are needed, what
they write and publish, which single server becomes the bottleneck, and how fast one product sells.

Amounts are those of the fitted model (loadtests.choosing.model) at the load of a cell. Throughput
and latencies are the simulation's (loadtests.choosing.queueing); its parameters come from the
survey's fitted stacks only (`fit`), and are stored in simulated.json.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cache
from math import ceil, exp, inf
from pathlib import Path

import msgspec

from loadtests.choosing import queueing
from loadtests.choosing.figures import CAPACITY, CPU, FIGURES, MESSAGES, P50, P95, WAL, WRITES
from loadtests.choosing.laws import Situation
from loadtests.choosing.model import SHIPPED, Model
from loadtests.choosing.queueing import MOST_IN_A_BATCH, Machine, Work
from loadtests.evaluating.fitting import distance, fitted
from loadtests.shop import OWN_STEPS
from loadtests.surveying.cells import NotASurvey, Stack, Survey

RATES = (1_000, 10_000, 100_000)
SIMULATED = Path(__file__).with_name("simulated.json")
CORES = 1.9
"""Of the two that were measured on: the load generator used a tenth of one."""
USE = 0.6
"""The load of a cell as a share of its capacity: leaves room for one in three to fail."""
SECONDS = 2.5
"""Of a simulated window of full load; the measured ones took 3.5."""
FULL = 900.0
"""Checkouts per second that are offered there: more than any cell can do."""
FEWEST, MOST = 150, 250
"""Checkouts of any other simulated window: five seconds' worth, within these."""
SEED = 7
STARTS, SPREAD = 24, 0.25
"""Searches, and the standard deviation of the logarithm of their guesses."""
START = Work(first=1.2, own=0.3, shared=2.3, wait=0.5, aside=5.5, pause=40.0, ways=2.5, wake=0.5)
LOCKS = 2
"""Of a product's row, per sale: it is reserved, then sold."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """What one server of a usual size can do; assumed, and options of the command."""

    processors: float = 64
    wal: float = 300
    """MB per second that a PostgreSQL primary writes and its standby receives."""
    commits: float = 15_000
    """Per second, of one PostgreSQL."""
    messages: float = 50_000
    """Per second, of one RabbitMQ cluster of three nodes with quorum queues."""
    connections: float = 1_000
    """Of one PostgreSQL, without a pooler."""


WEB_CONNECTIONS, WORKER_CONNECTIONS = 14, 10
"""At most, of a web process (httpapi.slots) and of a worker, to its service's database."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A figure as the simulation predicts it, and as measured. `at`: where, in words."""

    pattern: str
    figure: str
    at: str
    predicted: float
    measured: float
    is_held_out: bool

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1


@dataclass(frozen=True, kw_only=True)
class Place:
    """A resource that is not distributed. `share`: of its limit; above 1 it is a bottleneck."""

    name: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The needs of `rate` checkouts per second in a pattern. `cells`: machines like the measured
    one. `lanes`: of each process, at one core each. `wal`: MB/s. `places`: the worst first."""

    pattern: str
    rate: float
    cells: int
    processors: float
    lanes: int
    commits: float
    wal: float
    messages: float
    connections: int
    places: Sequence[Place]


class StoredWork(msgspec.Struct, frozen=True, kw_only=True):
    """simulated.json. `of`: the SHA-256 of the survey that it was fitted to."""

    of: str
    work: dict[str, dict[str, float]]


def kept() -> dict[str, Work]:
    """The simulation's parameters by pattern. Raises NotASurvey if they were fitted to another
    survey than the shipped one."""
    found = msgspec.json.decode(SIMULATED.read_bytes(), type=StoredWork)
    if found.of != _digest():
        raise NotASurvey(
            f"{SIMULATED.name} was fitted to another survey than {SHIPPED.name}: run capacity --fit"
        )
    return {pattern: Work(**values) for pattern, values in found.work.items()}


def keep(works: dict[str, Work]) -> None:
    """Writes simulated.json."""
    rounded = {
        pattern: {name: round(value, 4) for name, value in asdict(work).items()}
        for pattern, work in works.items()
    }
    found = msgspec.json.encode(StoredWork(of=_digest(), work=rounded))
    SIMULATED.write_bytes(msgspec.json.format(found, indent=1) + b"\n")


def _digest() -> str:
    return hashlib.sha256(SHIPPED.read_bytes()).hexdigest()


def fit(*, survey: Survey, pattern: str, say: Callable[[str], object] = str) -> Work:
    """The parameters with which the simulation comes closest to what was not held out: the best of
    STARTS searches, each from other guesses, as a simulation is not smooth. Takes minutes.
    """
    seen = [window for window in _measured(survey, pattern) if not window.is_held_out]
    measured = [value for window in seen for value in window.values]

    def law(values: Sequence[float]) -> list[float]:
        return [value for window in seen for value in _simulated(_work(values), window)]

    chance = random.Random(SEED)  # noqa: S311 -- guesses to repeat
    best: tuple[float, Sequence[float]] = (inf, [])
    for number in range(1, STARTS + 1):
        start = [guess * exp(chance.gauss(0, SPREAD)) for guess in astuple(START)]
        found = fitted(law=law, measured=measured, start=start, step=0.1, most=6)
        best = min(best, (distance(predicted=law(found), measured=measured), found))
        say(f"{pattern}: {number} of {STARTS} searches, the best is {best[0]:.1%} away")
    return _work(best[1])


def _work(values: Sequence[float]) -> Work:
    return Work(**dict(zip(asdict(START), values, strict=True)))


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The measured figures of one load. `load`: None for full load."""

    steps: int
    hop_ms: float
    load: float | None
    figures: Sequence[str]
    values: Sequence[float]
    is_held_out: bool


def _measured(survey: Survey, pattern: str) -> Iterator[_Window]:
    for stack in survey.stacks:
        yield from _windows(stack, pattern)


def _windows(stack: Stack, pattern: str) -> Iterator[_Window]:
    of = {figure.name: figure.of for figure in FIGURES}
    most = 0.0
    for cell in stack.cells:
        if cell.pattern != pattern or cell.refusals:
            continue
        if cell.is_full:
            most = max(most, of[CAPACITY](stack, cell) or 0.0)
            continue
        names = [name for name in (P50, P95, CPU) if of[name](stack, cell) is not None]
        yield _of(stack, cell.load, names, [of[name](stack, cell) or 0.0 for name in names])
    if most:
        yield _of(stack, None, [CAPACITY], [most])


def _of(stack: Stack, load: float | None, names: Sequence[str], values: Sequence[float]) -> _Window:
    return _Window(
        steps=stack.spot.steps,
        hop_ms=stack.spot.hop_ms,
        load=load,
        figures=names,
        values=values,
        is_held_out=stack.spot.is_held_out,
    )


def _simulated(work: Work, window: _Window) -> list[float]:
    """The window's figures."""
    if window.load is None:
        times = [number * 1000 / FULL for number in range(int(FULL * SECONDS))]
    else:
        checkouts = int(min(max(window.load * 5, FEWEST), MOST))
        times = queueing.poisson(load=window.load, checkouts=checkouts, seed=SEED)
    done = Machine(
        work=work, steps=window.steps, hop_ms=window.hop_ms, cores=CORES, arrivals=times
    ).run()
    found = {
        P50: done.percentile(0.5),
        P95: done.percentile(0.95),
        CPU: done.cpu_ms,
        CAPACITY: done.ended_per_second,
    }
    return [found[name] for name in window.figures]


def checks(*, survey: Survey, pattern: str, work: Work) -> list[Check]:
    """The simulation and the measurements of a pattern; a held-out spot, which was visited twice,
    with the mean of both."""
    visits: dict[tuple[object, ...], list[tuple[float, float, _Window]]] = {}
    for number, window in enumerate(_measured(survey, pattern)):
        for name, here, there in zip(
            window.figures, _simulated(work, window), window.values, strict=True
        ):
            about = "full" if window.load is None else _load_in_words(window.load)
            own = () if window.is_held_out else (number,)
            key = (name, window.steps, window.hop_ms, about, *own)
            visits.setdefault(key, []).append((here, there, window))
    return [
        Check(
            pattern=pattern,
            figure=str(key[0]),
            at=f"{key[1]} steps, {key[2]:g} ms, {key[3]}",
            predicted=sum(here for here, _, _ in seen) / len(seen),
            measured=sum(there for _, there, _ in seen) / len(seen),
            is_held_out=seen[0][2].is_held_out,
        )
        for key, seen in visits.items()
    ]


def _load_in_words(load: float) -> str:
    """The planned load: arrivals are drawn, so two visits differ slightly."""
    return f"{min((16, 43, 225), key=lambda planned: abs(planned - load))}/s"


@cache
def saturated(*, work: Work, cores: float) -> float:
    """Checkouts per second that this many cores can do, with one lane per step."""
    offered = FULL * (40 if cores == inf else 1)
    times = [number * 1000 / offered for number in range(4_000)]
    done = Machine(work=work, steps=OWN_STEPS, hop_ms=0.0, cores=cores, arrivals=times).run()
    return done.ended_per_second


def plan(*, model: Model, work: Work, pattern: str, rate: float, limit: Limit) -> Plan:
    """The needs of `rate` checkouts per second, without padding steps, in one data centre."""
    most = saturated(work=work, cores=CORES)
    at = Situation(steps=OWN_STEPS, hop_ms=0.0, refusals=0.0, load=USE * most)
    cpu, writes, wal, messages = (
        model.predict(figure=name, pattern=pattern, at=at) for name in (CPU, WRITES, WAL, MESSAGES)
    )
    lanes = ceil(rate / (USE * saturated(work=work, cores=inf)))
    connections = lanes * (WEB_CONNECTIONS + WORKER_CONNECTIONS)
    found = {
        "processors of one machine": rate * cpu / 1000 / USE / limit.processors,
        "one process a service": float(lanes),
        "commits of one PostgreSQL": rate * writes / limit.commits,
        "WAL of one PostgreSQL": rate * wal / 1000 / limit.wal,
        "messages of one RabbitMQ": rate * messages / limit.messages,
        "connections of a service": connections / limit.connections,
    }
    return Plan(
        pattern=pattern,
        rate=rate,
        cells=ceil(rate / (USE * most)),
        processors=rate * cpu / 1000 / USE,
        lanes=lanes,
        commits=rate * writes,
        wal=rate * wal / 1000,
        messages=rate * messages,
        connections=connections,
        places=sorted(
            (Place(name=name, share=share) for name, share in found.items()),
            key=lambda place: -place.share,
        ),
    )


def sales_a_second(*, work: Work, batch: int = MOST_IN_A_BATCH, commit_ms: float = 0.0) -> float:
    """Of one product, whose row is locked until each commit; `commit_ms`: added by a
    synchronous standby to each commit."""
    held = work.shared + work.own * batch + work.wait + commit_ms
    return 1000 * batch / (held * LOCKS)


def buckets(*, work: Work, rate: float, commit_ms: float = 0.0) -> int:
    """How many rows a product's stock needs to sell `rate` per second."""
    return ceil(rate / (USE * sales_a_second(work=work, commit_ms=commit_ms)))
