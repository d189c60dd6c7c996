"""The shop as a simulation of queues: batches that never wait to fill, on a few cores.

A checkout goes through its acceptance and its steps, one after the other. Each has a lane with one
batch in flight at a time; checkouts that arrive meanwhile are in the next batch. A batch needs CPU:
a fixed amount, and some for each checkout in it. All current batches share the processors equally
(processor sharing). Work aside from the path (the trail, marks, acknowledgements) has batches of
its own, which need CPU too, but no checkout waits for them. A hop keeps a lane busy, but no
processor.

Throughput at saturation, latencies and CPU per checkout result from this; none of them is an input.
"""

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, count

MOST_IN_A_BATCH = 100
ASIDE, WAKING = -1, -2
SEED = 7
WARM_UP = 0.2
"""The share of checkouts that is dropped, as the queues are empty at first."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The parameters of one pattern, in ms. `first`: CPU of a checkout at its acceptance; `own`: at
    each step. `shared`: CPU of a batch. `wait`: of a batch for disks and wake-ups. `aside`: CPU of
    a batch aside from the path; `pause`: until the next such batch. `ways`: one-way hops per step,
    during which its lane is busy. `wake`: CPU, aside from the path, to wake an idle lane.
    """

    first: float
    own: float
    shared: float
    wait: float
    aside: float
    pause: float
    ways: float
    wake: float


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Latencies in ms, without the warm-up. `ended_per_second`: outcomes per second, without the
    first and last 5 %; 0 if all ended at once. `cpu_ms`: per checkout."""

    latencies: Sequence[float]
    ended_per_second: float
    cpu_ms: float

    def percentile(self, share: float) -> float:
        """The nearest rank."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass(kw_only=True)
class _Job:
    """CPU that a batch needs. `lane`: of a step; or ASIDE, or WAKING."""

    due: float
    lane: int
    batch: list[int]


class Machine:
    """One run. Times in ms."""

    def __init__(
        self, *, work: Work, steps: int, hop_ms: float, cores: float, arrivals: Sequence[float]
    ) -> None:
        self._work, self._steps, self._hop = work, steps, hop_ms
        self._cores = cores
        self._arrivals = arrivals
        self._ended = [0.0] * len(arrivals)
        self._lanes: list[deque[int]] = [deque() for _ in range(steps + 1)]
        self._is_busy = [False] * (steps + 1)
        self._events: list[tuple[float, int, int, int, list[int]]] = []
        self._numbers = count()
        # Processor sharing: `_served` is what a job that was always there would have got by now.
        self._jobs: list[tuple[float, int, _Job]] = []
        self._is_aside = self._has_more = False
        self._draw = random.Random(SEED)  # noqa: S311 -- a simulation
        self._served = self._now = self._used = 0.0

    def run(self) -> Simulated:
        """Until all have ended."""
        for number, at in enumerate(self._arrivals):
            self._at(at, _COMES, 0, [number])
        while self._events or self._jobs:
            finish = self._next_finish()
            if self._events and self._events[0][0] <= finish:
                at, _, kind, lane, batch = heapq.heappop(self._events)
                self._pass(at)
                _KINDS[kind](self, lane, batch)
            else:
                self._pass(finish)
                self._finish(heapq.heappop(self._jobs)[2])
        return self._told()

    def _at(self, at: float, kind: int, lane: int, batch: list[int]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), kind, lane, batch))

    def _rate(self) -> float:
        return min(1.0, self._cores / len(self._jobs))

    def _next_finish(self) -> float:
        if not self._jobs:
            return float("inf")
        return self._now + (self._jobs[0][0] - self._served) / self._rate()

    def _pass(self, until: float) -> None:
        if self._jobs:
            served = (until - self._now) * self._rate()
            self._served += served
            self._used += served * len(self._jobs)
        self._now = until

    def _need(self, work: float, lane: int, batch: list[int]) -> None:
        job = _Job(due=self._served + work, lane=lane, batch=batch)
        heapq.heappush(self._jobs, (job.due, next(self._numbers), job))

    def _comes(self, lane: int, batch: list[int]) -> None:
        if not self._is_busy[lane]:
            self._need(self._work.wake, WAKING, [])
        self._lanes[lane].extend(batch)
        self._start(lane)

    def _start(self, lane: int) -> None:
        waiting = self._lanes[lane]
        if self._is_busy[lane] or not waiting:
            return
        self._is_busy[lane] = True
        batch = [waiting.popleft() for _ in range(min(len(waiting), MOST_IN_A_BATCH))]
        own = self._work.own if lane else self._work.first
        self._need(self._varied(self._work.shared) + own * len(batch), lane, batch)

    def _finish(self, job: _Job) -> None:
        if job.lane == WAKING:
            return
        if job.lane == ASIDE:
            self._at(self._now + self._work.pause, _RESTED, ASIDE, [])
            return
        way = self._hop * self._work.ways if job.lane else 0.0
        wait = self._varied(self._work.wait)
        self._at(self._now + wait + way, _DONE, job.lane, job.batch)
        self._has_more = True
        self._go_aside()

    def _varied(self, mean: float) -> float:
        """Batches vary, with a coefficient of variation of 0.7 (Erlang, of two phases)."""
        return self._draw.gammavariate(2, mean / 2) if mean else 0.0

    def _go_aside(self) -> None:
        if self._has_more and not self._is_aside:
            self._is_aside, self._has_more = True, False
            self._need(self._work.aside, ASIDE, [])

    def _rested(self, lane: int, batch: list[int]) -> None:
        self._is_aside = False
        self._go_aside()

    def _done(self, lane: int, batch: list[int]) -> None:
        self._is_busy[lane] = False
        if lane < self._steps:
            self._comes(lane + 1, batch)
        else:
            for number in batch:
                self._ended[number] = self._now
        self._start(lane)

    def _told(self) -> Simulated:
        first = int(len(self._arrivals) * WARM_UP)
        pairs = list(zip(self._arrivals, self._ended, strict=True))[first:]
        ended = sorted(self._ended)
        cut = len(ended) // 20
        kept = ended[cut : len(ended) - cut]
        span = kept[-1] - kept[0]
        return Simulated(
            latencies=[end - start for start, end in pairs],
            ended_per_second=1000 * (len(kept) - 1) / span if span else 0.0,
            cpu_ms=self._used / len(self._arrivals),
        )


_COMES, _DONE, _RESTED = range(3)
_KINDS = (Machine._comes, Machine._done, Machine._rested)


def poisson(*, load: float, checkouts: int, seed: int) -> list[float]:
    """Arrival times in ms, at `load` per second."""
    draw = random.Random(seed)  # noqa: S311 -- a simulation
    return list(accumulate(draw.expovariate(load / 1000) for _ in range(checkouts)))
