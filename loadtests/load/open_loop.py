"""Open-loop users, for any locustfile: each task starts at a time that was fixed beforehand,
whether or not earlier ones were answered.

    class Shopper(OpenLoop, FastHttpUser):
        def schedule(self):
            return offsets(arrivals=Arrivals.POISSON, rate=25, seconds=60, seed=1)

        @task
        def buy(self): ...

Locust's own users are a closed loop, even with `constant_throughput`: a user that waits for an
answer starts nothing, and so hides the very delays to be measured. Here each arrival gets a
greenlet, its latency counts from the intended start, and the generator's own lateness is reported
separately. All samples are kept, so percentiles are exact (`--arrivals-csv FILE` writes them).
docs/how-to/open-arrivals.md is the guide.

Importing this module imports Locust, which patches the process for gevent.
"""

import csv
import gc
import logging
import random
import sys
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import gevent
import gevent.pool
from locust import TaskSet, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import LocalRunner

from loadtests.drawing.words import number
from loadtests.load.client import Timer
from loadtests.measuring.samples import percentile, plain

LEAD_SECONDS = 0.05
"""Between the preparation and the first second of a schedule."""
COLUMNS = ("task", "intended_at", "started_at", "ended_at", "error")


class Arrival:
    """Its intended start, its start and its end (times of `time.monotonic`; 0 if it did not
    happen), and its error."""

    __slots__ = ("ended", "error", "intended", "started", "task")

    def __init__(self, intended: float, task: str = "") -> None:
        self.intended = intended
        self.started = self.ended = 0.0
        self.error = ""
        self.task = task

    @property
    def latency_ms(self) -> float:
        """From the intended start; infinite if it failed or has not ended."""
        return (self.ended - self.intended) * 1000 if self.ended and not self.error else inf

    @property
    def lag_ms(self) -> float:
        """How late the generator was."""
        return (self.started - self.intended) * 1000


T = TypeVar("T", bound=Arrival)


def dispatch(*, arrivals: Sequence[T], do: Callable[[T], None], patience: float) -> None:
    """Calls `do`, which records the end, for each arrival at its intended time, in a greenlet of
    its own.

    Returns when all have ended; `patience` seconds after the last start it kills the rest.
    `arrivals`: in the order of their times.
    """
    group, timer = gevent.pool.Group(), Timer()
    try:
        for arrival in arrivals:
            timer.wait_until(at=arrival.intended)
            group.spawn(_begin, do, arrival)
        group.join(timeout=patience)
    finally:
        timer.close()
        group.kill()


def _begin(do: Callable[[T], None], arrival: T) -> None:
    arrival.started = time.monotonic()
    do(arrival)


class OpenLoop:
    """A mixin before a User class of Locust, with a schedule and tasks.

    An arrival runs on a free instance of the class, or on a new one, whose `on_start` then adds to
    its latency. Tasks are functions, drawn by their weights. The test ends with the schedule. It
    runs in one process, and `--users 1` is enough for any rate.
    """

    fixed_count = 1
    patience = 30.0
    """Seconds after the last start; an arrival that has not ended by then has failed."""
    seed = 0
    """Of the order of tasks."""
    environment: Any
    tasks: list[TaskSet | Callable[..., Any]]

    def schedule(self) -> Sequence[float]:
        """The intended starts in seconds, ascending, for example from windows.offsets or
        windows.stepped."""
        raise NotImplementedError("give the intended starts: def schedule(self): ...")

    def start(self, group: gevent.pool.Group) -> gevent.Greenlet:
        """Replaces Locust's own loop; Locust finds the instance as the greenlet's argument."""
        self._group = group
        self._greenlet = group.spawn(_run, self)
        return self._greenlet

    def on_start(self) -> None:
        """Locust's hook: before the first arrival of an instance."""

    def on_stop(self) -> None:
        """Locust's hook: after the last arrival of all."""


_arrivals: list[Arrival] = []
"""Of the current test, or of the last one."""
_running: list[OpenLoop] = []


def _run(user: OpenLoop) -> None:
    _running.append(user)
    try:
        _do_all(user)
    except Exception as error:  # noqa: BLE001 -- any error is logged and ends the test
        logging.error("%s: %s", type(user).__name__, error)
        user.environment.process_exit_code = 1
    finally:
        _running.remove(user)
    runner, options = user.environment.runner, user.environment.parsed_options
    if not _running and runner and options:
        # From another greenlet, because it ends this one.
        gevent.spawn(runner.quit if options.headless else runner.stop)


def _do_all(user: OpenLoop) -> None:
    """Raises ValueError if the runner or the tasks can't be used."""
    if not isinstance(user.environment.runner, LocalRunner):
        raise ValueError(
            "an open loop runs in one process: omit --master, --worker and --processes"
        )
    tasks: list[Any] = list(user.tasks)
    if not tasks or any(isinstance(task, type) for task in tasks):
        raise ValueError("at least one task is needed, and tasks must be functions")
    by_name = {task.__name__: task for task in tasks}
    starts, chance = user.schedule(), random.Random(user.seed)  # noqa: S311 -- a mix to repeat
    drawn = chance.choices([task.__name__ for task in tasks], k=len(starts))
    every, free = [user], [user]
    user.on_start()
    gc.collect()
    gc.freeze()  # so that later collections, which delay starts, skip the objects made so far
    first = time.monotonic() + LEAD_SECONDS
    arrivals = [Arrival(first + at, task) for at, task in zip(starts, drawn, strict=True)]
    _arrivals.extend(arrivals)

    def do(arrival: Arrival) -> None:
        gevent.getcurrent().arrival = arrival
        try:
            shopper = free.pop() if free else _another(user, every)
            try:
                by_name[arrival.task](shopper)
            finally:
                free.append(shopper)
        except Exception as error:  # noqa: BLE001 -- a failed arrival must not end the others
            arrival.error = arrival.error or repr(error)
            user.environment.events.user_error.fire(
                user_instance=user, exception=error, tb=error.__traceback__
            )
        arrival.ended = time.monotonic()
        _count(user.environment, arrival)

    try:
        dispatch(arrivals=arrivals, do=do, patience=user.patience)
    finally:
        for shopper in every:
            shopper.on_stop()


def _count(environment: Any, arrival: Arrival) -> None:
    """Adds it to Locust's own statistics."""
    environment.events.request.fire(
        request_type="ARRIVAL",
        name=arrival.task,
        response_time=((arrival.ended or time.monotonic()) - arrival.intended) * 1000,
        response_length=0,
        exception=RuntimeError(arrival.error) if arrival.error else None,
        context={},
    )


def _another(user: OpenLoop, every: list[OpenLoop]) -> OpenLoop:
    made = type(user)(user.environment)  # type: ignore[call-arg]  # a Locust User takes it
    every.append(made)
    made.on_start()
    return made


@events.init_command_line_parser.add_listener
def _add_option(parser: LocustArgumentParser) -> None:
    about = "write every arrival of an open loop to this file: its task, times and error"
    parser.add_argument("--arrivals-csv", default="", metavar="FILE", help=about)


@events.test_start.add_listener
def _forget(**_: Any) -> None:
    _arrivals.clear()


@events.request.add_listener
def _note(exception: object = None, **_: Any) -> None:
    """An arrival has failed if one of its requests has."""
    arrival = getattr(gevent.getcurrent(), "arrival", None)
    if arrival and exception:
        arrival.error = arrival.error or str(exception)


@events.test_stop.add_listener
def _tell(environment: Environment, **_: Any) -> None:
    sent = [arrival for arrival in _arrivals if arrival.started]
    if not sent:
        return
    for arrival in sent:
        if not arrival.ended:
            arrival.error = "not ended before the test"
            _count(environment, arrival)
    sys.stdout.write(report(arrivals=sent))
    sys.stdout.flush()
    if environment.parsed_options and environment.parsed_options.arrivals_csv:
        _write(Path(environment.parsed_options.arrivals_csv), sent)


def report(*, arrivals: Sequence[Arrival]) -> str:
    """The exact percentiles of each task's latency, and of the generator's lateness."""
    lines = [_line("ms from the intended start", "of", "failed", ("p50", "p95", "p99", "most"))]
    for name, found in groupby(
        sorted(arrivals, key=lambda arrival: arrival.task), lambda arrival: arrival.task
    ):
        latencies = [arrival.latency_ms for arrival in found]
        failed = latencies.count(inf)
        lines.append(_line(name, str(len(latencies)), str(failed), _quantiles(latencies)))
    lags = [arrival.lag_ms for arrival in arrivals]
    lines.append(_line("started late by", str(len(lags)), "", _quantiles(lags)))
    return "\n".join(["", *lines, "", ""])


def _quantiles(values: Sequence[float]) -> list[str]:
    return [number(percentile(values, share)) for share in (0.5, 0.95, 0.99, 1)]


def _line(name: str, count: str, failed: str, cells: Sequence[str]) -> str:
    return f"{name:<28}{count:>8}{failed:>8}" + "".join(f"{cell:>8}" for cell in cells)


def _write(path: Path, arrivals: Sequence[Arrival]) -> None:
    """Times are seconds since 1970; 0 if it never ended."""
    epoch = time.time() - time.monotonic()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for arrival in arrivals:
            times = [
                at + epoch if at else 0 for at in (arrival.intended, arrival.started, arrival.ended)
            ]
            writer.writerow([arrival.task, *(f"{at:.6f}" for at in times), plain(arrival.error)])
