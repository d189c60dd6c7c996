"""The cost of a window besides time: CPU by process, writes, WAL, messages and HTTP calls.

Everything is read before and after a window, while the shop is idle, so the difference has all work
that its checkouts caused, also after the outcome (tracking, acknowledgements). CPU time is that of
process trees, from the kernel's accounting.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial, reduce
from operator import add, sub
from typing import Any

import psutil
import psycopg
import urllib3

from contracts.doors import OPS_READ
from loadtests.measuring.outcomes import Outcomes, total_of
from loadtests.measuring.samples import NotMeasured
from loadtests.shop import Shop

GENERATOR = "load generator"
MEASURING = "measuring"
"""This command itself: it waits, and reads tables and meters."""
OURS = frozenset({GENERATOR, MEASURING})


def cpu_seconds(*, roots: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds of each named process with all of its descendants.

    This includes children that have ended and were waited for, so that it never falls.
    """
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for process in psutil.process_iter(["ppid", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is None:  # it ended meanwhile
            continue
        spent[process.pid] = times.user + times.system + times.children_user + times.children_system
        children.setdefault(process.info["ppid"], []).append(process.pid)
    return {name: _of_tree(pid, children, spent) for name, pid in roots.items()}


def machine_busy_seconds() -> tuple[float, float]:
    """CPU seconds that the whole machine was busy, and those stolen by its host."""
    times = psutil.cpu_times()
    # guest and guest_nice are already counted in user and nice (proc(5)).
    other = ("idle", "iowait", "steal", "guest", "guest_nice")
    busy = sum(times) - sum(getattr(times, name, 0.0) for name in other)
    return busy, getattr(times, "steal", 0.0)


def _of_tree(pid: int, children: Mapping[int, list[int]], spent: Mapping[int, float]) -> float:
    return spent.get(pid, 0.0) + sum(
        _of_tree(child, children, spent) for child in children.get(pid, [])
    )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was used between two readings. `cpu_ms`: by process, the generator included."""

    seconds: float
    cpu_ms: Mapping[str, float]
    busy_ms: float
    steal_ms: float
    wal_bytes: int
    writes: int
    messages: int
    http_calls: int
    checkpoints: int = 0
    """Whether a checkpoint of the database ended meanwhile (0 or 1); in a sum, in how many."""

    @property
    def shop_cpu_ms(self) -> float:
        """Of the shop: without the load generator and this command."""
        return sum(spent for name, spent in self.cpu_ms.items() if name not in OURS)

    @property
    def harness_cpu_ms(self) -> float:
        """Of the load generator and this command."""
        return sum(spent for name, spent in self.cpu_ms.items() if name in OURS)

    @property
    def foreign_cpu_ms(self) -> float:
        """Of all other programs, including the kernel's own threads."""
        return max(self.busy_ms - sum(self.cpu_ms.values()), 0.0)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the machine and the shop have used since they started."""

    used: Cost
    last_checkpoint: str


class Meters:
    """Reads the cost from a running shop."""

    def __init__(self, *, shop: Shop, outcomes: Outcomes, generator_pid: int) -> None:
        self._shop = shop
        self._outcomes = outcomes
        self._generator_pid = generator_pid
        self._pool = urllib3.PoolManager(retries=False, timeout=10.0)
        self._cluster = psycopg.connect(shop.databases["default"], autocommit=True)
        self._health_calls = 0
        self._expected = set(shop.processes())

    def close(self) -> None:
        self._cluster.close()

    def read(self) -> Reading:
        """Raises NotMeasured if a process has ended or does not answer."""
        missing = sorted(self._expected - set(self._shop.processes()))
        if missing:
            raise NotMeasured(f"{', '.join(missing)} ended unexpectedly during the run")
        try:
            return self._read()
        except (urllib3.exceptions.HTTPError, psycopg.Error, KeyError, ValueError) as error:
            raise NotMeasured(f"the shop's meters can't be read: {error}") from error

    def _read(self) -> Reading:
        http_calls = self._http_calls()
        wal_bytes, writes, last_checkpoint = self._written()
        messages = total_of(self._outcomes.counters(), "messages_published")
        busy, steal = machine_busy_seconds()
        used = Cost(
            seconds=time.monotonic(),
            cpu_ms={name: spent * 1000 for name, spent in self._cpu_seconds().items()},
            busy_ms=busy * 1000,
            steal_ms=steal * 1000,
            wal_bytes=wal_bytes,
            writes=writes,
            messages=messages,
            http_calls=http_calls,
        )
        return Reading(used=used, last_checkpoint=last_checkpoint)

    def _cpu_seconds(self) -> dict[str, float]:
        spent = cpu_seconds(roots={**self._shop.processes(), GENERATOR: self._generator_pid})
        own = os.times()
        return {**spent, MEASURING: own.user + own.system}

    def _written(self) -> tuple[int, int, str]:
        """WAL position, transaction ids used and last checkpoint of the PostgreSQL cluster.

        They are exact at once, unlike pg_stat_wal and pg_stat_database, which lag by up to 10 s
        with idle connections. A transaction has an id if and only if it has written, so reads
        (which need no flush) are not counted.
        """
        rows = self._cluster.execute(
            """
            SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
                   pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                   (SELECT redo_lsn::text FROM pg_control_checkpoint())
            """
        ).fetchall()
        return int(rows[0][0]), int(rows[0][1]), str(rows[0][2])

    def _http_calls(self) -> int:
        """Requests served by all web processes, without those that ask for this number."""
        served = sum(self._served(self._shop.urls[service]) for service in self._shop.services)
        self._health_calls += len(self._shop.services)
        return served - self._health_calls

    def _served(self, url: str) -> int:
        headers = self._shop.passes.person(MEASURING, OPS_READ)
        answer = self._pool.request("GET", f"{url}/health", headers=headers)
        return int(json.loads(answer.data)["requests"])


def between(before: Reading, after: Reading) -> Cost:
    """What was used between two readings."""
    spent = _combined(sub, after.used, before.used)
    return replace(spent, checkpoints=int(after.last_checkpoint != before.last_checkpoint))


def added(costs: Sequence[Cost]) -> Cost:
    """The sum of the costs of one or more windows."""
    return reduce(partial(_combined, add), costs)


def _combined(how: Callable[[Any, Any], Any], cost: Cost, other: Cost) -> Cost:
    amounts: dict[str, Any] = {
        field.name: how(getattr(cost, field.name), getattr(other, field.name))
        for field in fields(Cost)
        if field.name != "cpu_ms"
    }
    spent, also = cost.cpu_ms, other.cpu_ms
    names = {**spent, **also}
    cpu_ms = {name: how(spent.get(name, 0.0), also.get(name, 0.0)) for name in names}
    return Cost(cpu_ms=cpu_ms, **amounts)
