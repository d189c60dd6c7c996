"""The needs of many checkouts per second, for a terminal and docs/explanation/capacity.md."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean

from loadtests.choosing import capacity, queueing
from loadtests.choosing.capacity import CORES, USE, Check, Limit, Plan
from loadtests.choosing.figures import CAPACITY, CPU, P50, P95
from loadtests.choosing.model import Model
from loadtests.choosing.queueing import Machine, Work
from loadtests.shop import OWN_STEPS

WIDTH, LABEL = 79, 33
USES = (0.1, 0.3, 0.6, 0.8, 0.9)
LENGTH = 1_000
"""Checkouts of a simulated window."""
COMMIT_MS = 2.0
"""What a standby in another zone adds to a commit."""
HOT = (100, 1_000, 10_000)
Table = list[tuple[str, ...]]


def screen(*, model: Model, works: Mapping[str, Work], rates: Sequence[int], limit: Limit) -> str:
    """79 columns: the needs by pattern, then queues, the hot product, and the errors."""
    lines = [f"CAPACITY  checkouts of {OWN_STEPS} steps, in cells at {USE:.0%} of their capacity"]
    for pattern, work in works.items():
        lines += ["", pattern.upper(), *_columns(needs(model, work, pattern, rates, limit))]
    lines += ["", "ONE CELL: latency in ms, p50 / p95, by use"]
    lines += _columns(waits(works))
    lines += ["", "ONE PRODUCT: units per second from one row, and rows needed for more"]
    lines += _columns(hot(works))
    lines += ["", "SIMULATION against held-out measurements, mean / largest error"]
    lines += _columns(errors(all_checks(model, works)))
    return "\n".join(lines)


def needs(model: Model, work: Work, pattern: str, rates: Sequence[int], limit: Limit) -> Table:
    plans = [
        capacity.plan(model=model, work=work, pattern=pattern, rate=rate, limit=limit)
        for rate in rates
    ]
    return [
        ("", *(f"{rate:,}/s" for rate in rates)),
        ("cells like the measured machine", *(f"{plan.cells:,}" for plan in plans)),
        ("processors", *(_round(plan.processors) for plan in plans)),
        ("of each process, at a core each", *(f"{plan.lanes:,}" for plan in plans)),
        ("commits/s", *(_round(plan.commits) for plan in plans)),
        ("WAL, MB/s", *(_round(plan.wal) for plan in plans)),
        ("messages/s", *(_round(plan.messages) for plan in plans)),
        ("connections of a service", *(f"{plan.connections:,}" for plan in plans)),
        *(
            (f"{place} bottleneck", *(_place(plan, number) for plan in plans))
            for number, place in enumerate(("first", "second", "third"))
        ),
    ]


def _place(plan: Plan, number: int) -> str:
    place = plan.places[number]
    return f"{_SHORT[place.name]} x{_round(place.share)}" if place.share > 1 else "-"


_SHORT = {
    "processors of one machine": "machine",
    "one process a service": "process",
    "commits of one PostgreSQL": "commits",
    "WAL of one PostgreSQL": "WAL",
    "messages of one RabbitMQ": "broker",
    "connections of a service": "links",
}


def waits(works: Mapping[str, Work]) -> Table:
    """Latency by the load of a cell, as a share of its capacity."""
    rows: Table = [("", *(f"{use:.0%}" for use in USES))]
    for pattern, work in works.items():
        most = capacity.saturated(work=work, cores=CORES)
        found = [_window(work, use * most) for use in USES]
        rows.append((f"{pattern}, {most:.0f}/s", *(f"{p50:.0f} / {p95:.0f}" for p50, p95 in found)))
    return rows


def _window(work: Work, load: float) -> tuple[float, float]:
    times = queueing.poisson(load=load, checkouts=LENGTH, seed=capacity.SEED)
    done = Machine(work=work, steps=OWN_STEPS, hop_ms=0.0, cores=CORES, arrivals=times).run()
    return done.percentile(0.5), done.percentile(0.95)


def hot(works: Mapping[str, Work]) -> Table:
    rows: Table = [("", "alone", "batches", "standby", *(f"{rate:,}/s" for rate in HOT))]
    for pattern, work in works.items():
        rows.append(
            (
                pattern,
                _round(capacity.sales_a_second(work=work, batch=1)),
                _round(capacity.sales_a_second(work=work)),
                _round(capacity.sales_a_second(work=work, commit_ms=COMMIT_MS)),
                *(str(capacity.buckets(work=work, rate=r, commit_ms=COMMIT_MS)) for r in HOT),
            )
        )
    return rows


def all_checks(model: Model, works: Mapping[str, Work]) -> list[Check]:
    return [
        check
        for pattern, work in works.items()
        for check in capacity.checks(survey=model.survey, pattern=pattern, work=work)
    ]


def errors(found: Iterable[Check]) -> Table:
    held_out = [check for check in found if check.is_held_out]
    patterns = list(dict.fromkeys(check.pattern for check in held_out))
    rows: Table = [("", *patterns)]
    for figure in (CAPACITY, P50, P95, CPU):
        cells = []
        for pattern in patterns:
            sizes = [
                abs(check.error)
                for check in held_out
                if (check.figure, check.pattern) == (figure, pattern)
            ]
            cells.append(f"{mean(sizes):.0%} / {max(sizes):.0%} of {len(sizes)}")
        rows.append((figure, *cells))
    return rows


def _columns(rows: Table) -> list[str]:
    label = max(len(row[0]) for row in rows)
    width = (WIDTH - 2 - label) // (len(rows[0]) - 1)
    return [f"  {row[0]:{label}}" + "".join(f"{cell:>{width}}" for cell in row[1:]) for row in rows]


def _round(value: float) -> str:
    """Rounded to two digits, as the model is no more precise."""
    if value >= 10:
        digits = len(str(int(value))) - 2
        return f"{round(value, -digits):,.0f}"
    return f"{value:.2g}"
