"""A locustfile for measurements: starts each saga at its intended time, whatever the shop does.

Driven window by window by `manage.py compare` (generator.py) over a connection; for a load test by
hand, or with Locust's web page, use loadtests/locustfile.py.
"""

import csv
import gc
import os
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import msgspec
from gevent.socket import wait_read
from locust import User, events, task
from locust.env import Environment

from loadtests.load.client import Connections, post
from loadtests.load.generator import FILE_NUMBER_VARIABLE, SEPARATOR
from loadtests.load.open_loop import LEAD_SECONDS, Arrival, dispatch
from loadtests.load.windows import Arrivals, offsets

NO_ANSWER = 0
LOWEST_REAL_TIME = 1
REAL_TIME = "runs before all other processes (SCHED_FIFO)"
USUAL = "waits for its turn like any other process: real-time scheduling was not allowed"

COLUMNS = ("intended_at", "sent_at", "answered_at", "status", "saga_id", "error")


class _Accepted(msgspec.Struct):
    saga_id: str = ""


class CheckoutArrival(Arrival):
    """One saga: what is sent, and what came back."""

    __slots__ = ("body", "request", "status")

    def __init__(self, intended: float, request: bytes) -> None:
        super().__init__(intended)
        self.request = request
        self.status = NO_ANSWER
        self.body = b""


class Dispatcher(User):
    """The one Locust user: carries out the windows that it is asked for, until told to stop."""

    fixed_count = 1

    @task
    def serve(self) -> None:
        connection = Connection(int(os.environ[FILE_NUMBER_VARIABLE]))
        connection.send({"state": "ready", "scheduling": _hurried()})
        try:
            while True:
                self._carry_out(connection, _received(connection))
        except (EOFError, OSError):
            # From another greenlet, because quit() ends this one.
            gevent.spawn(self.environment.runner.quit)
            gevent.sleep(60)

    def _carry_out(self, connection: Connection, window: dict[str, Any]) -> None:
        """While the window runs, the connection is watched: the end of `compare` ends it too."""
        running = gevent.spawn(run_window, self.environment, window)
        ending = gevent.spawn(_received, connection)
        gevent.wait([running, ending], count=1)
        if not running.ready():
            running.kill()
            raise EOFError("in the middle of a window")
        ending.kill()
        if running.successful():
            connection.send({"state": "done", **running.value})
        else:
            connection.send({"state": "failed", "why": repr(running.exception)})


def _received(connection: Connection) -> dict[str, Any]:
    """The next window; other greenlets go on meanwhile. Raises EOFError where nobody is there any
    more."""
    wait_read(connection.fileno())
    window: dict[str, Any] = connection.recv()
    return window


def _hurried() -> str:
    """Has the kernel run this process whenever it has something to do, as if the shoppers had a
    machine of their own, and says so; says what it is otherwise, where that is not allowed.

    Beside a shop that keeps all cores busy, a process like any other waits for its turn: at 300
    arrivals a second on 2 cores the send lag's p99 was 5 to 35 ms, and 0.2 to 0.4 ms so. It takes
    no more of the CPU for that (a tenth of a core then), and the kernel leaves others their share
    (sched_rt_runtime_us, see sched(7)).
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LOWEST_REAL_TIME))
    except (AttributeError, OSError):
        return USUAL
    return REAL_TIME


def run_window(environment: Environment, window: dict[str, Any]) -> dict[str, Any]:
    """Sends one window's checkouts and writes their samples; returns how the clocks behaved.

    `requests`: a file with one JSON body a line, and after a tab the token of who asks, if any; as
    many as the schedule has starts;
    `samples`: where to write; `arrivals`, `rate`, `seconds`, `seed`: the schedule; `patience`: how
    long after the last start to wait for answers.
    """
    starts = offsets(
        arrivals=Arrivals(window["arrivals"]),
        rate=window["rate"],
        seconds=window["seconds"],
        seed=window["seed"],
    )
    requests = _requests(str(environment.host), Path(window["requests"]))
    if len(requests) != len(starts):
        raise ValueError(f"{len(requests)} requests for {len(starts)} starts")
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in the middle would delay the starts
    epoch_before = time.time() - time.monotonic()
    arrivals = _send(environment, window, starts, requests)
    epoch_after = time.time() - time.monotonic()
    gc.enable()
    _write(Path(window["samples"]), arrivals, epoch_before)
    return {"clock_step_ms": (epoch_after - epoch_before) * 1000}


def _send(
    environment: Environment, window: dict[str, Any], starts: list[float], requests: list[bytes]
) -> list[CheckoutArrival]:
    connections = _connections(str(environment.host))
    first = time.monotonic() + LEAD_SECONDS
    arrivals = [
        CheckoutArrival(first + start, request)
        for start, request in zip(starts, requests, strict=True)
    ]
    do = partial(_check_out, connections)
    dispatch(arrivals=arrivals, do=do, patience=window["patience"])
    connections.close()
    return arrivals


def _check_out(connections: Connections, arrival: CheckoutArrival) -> None:
    try:
        arrival.status, arrival.body = connections.exchange(request=arrival.request)
    except OSError as error:
        arrival.error = str(error)
    arrival.ended = time.monotonic()


def _requests(host: str, bodies: Path) -> list[bytes]:
    """`host`: with the path where a saga is started."""
    url = urlsplit(host)
    lines = (line.partition(SEPARATOR) for line in bodies.read_bytes().splitlines())
    return [
        post(host=url.netloc, path=url.path, body=body, token=token.decode())
        for body, _, token in lines
    ]


def _connections(host: str) -> Connections:
    parts = urlsplit(host)
    return Connections(host=parts.hostname or "127.0.0.1", port=parts.port or 80)


def _write(path: Path, arrivals: list[CheckoutArrival], epoch: float) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for arrival in arrivals:
            times = [
                at + epoch if at else 0 for at in (arrival.intended, arrival.started, arrival.ended)
            ]
            writer.writerow([*(f"{at:.6f}" for at in times), arrival.status, *_found(arrival)])


def _found(arrival: CheckoutArrival) -> tuple[str, str]:
    """The saga's id, and what went wrong (a problem's text, or the connection's)."""
    if arrival.status in (201, 202):
        return msgspec.json.decode(arrival.body, type=_Accepted).saga_id, ""
    if arrival.ended == 0:
        return "", "no answer"
    return "", arrival.error or arrival.body[:300].decode(errors="replace")


@events.init.add_listener
def _need_a_connection(environment: Environment, **_: Any) -> None:
    if FILE_NUMBER_VARIABLE not in os.environ:
        raise SystemExit(
            "arrivals.py is driven by `manage.py compare`; by hand, use loadtests/locustfile.py."
        )
