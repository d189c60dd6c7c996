"""A locustfile for measurements: starts each saga at its intended time, whatever the shop does.

With n workers, each sends every n-th saga of the schedule. The master gives all of them the time of
day at which the schedule begins, so their clocks have to agree.

Driven window by window by `manage.py compare` (generator.py) over a connection; for a load test by
hand, or with Locust's web page, use loadtests/locustfile.py.
"""

import gc
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import gevent
import msgspec
from gevent.queue import Empty, Queue
from gevent.socket import wait_read
from locust import User, events, task
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtests.load.client import Connections, post
from loadtests.load.generator import FILE_NUMBER_VARIABLE, Answer
from loadtests.load.open_loop import LEAD_SECONDS, Arrival, dispatch
from loadtests.load.windows import Arrivals, offsets

NO_ANSWER = 0
SHARE, GO = "share", "go"
"""Messages of the master; below, the replies of its workers."""
TAKEN, SENT, FAILED = "taken its share", "sent its share", "failed"
ALONE = "local"
REPLY_SECONDS = 15.0
IDLE_SECONDS = 60.0
LOOK_SECONDS = 1.0
"""Between two checks that all workers are there."""
LOWEST_REAL_TIME = 1
REAL_TIME = "runs before all other processes (SCHED_FIFO)"
USUAL = "waits for its turn like any other process: real-time scheduling was not allowed"


class _Accepted(msgspec.Struct):
    saga_id: str = ""


class _Refusal(msgspec.Struct):
    """The fields of RFC 9457 that are used here."""

    code: str
    detail: str = ""


class CheckoutArrival(Arrival):
    """A saga's request, and its answer."""

    __slots__ = ("body", "request", "status")

    def __init__(self, intended: float, request: bytes) -> None:
        super().__init__(intended)
        self.request = request
        self.status = NO_ANSWER
        self.body = b""


class NoShopper(User):
    """Locust starts nothing without a user; the windows run in other greenlets."""

    fixed_count = 1

    @task
    def wait(self) -> None:
        gevent.sleep(IDLE_SECONDS)


class WindowMaster:
    """Sends the windows that `compare` asks for, until its connection closes: divides each among
    Locust's workers, or gives it to this process if it is the only one.
    """

    def __init__(self, environment: Any) -> None:
        self._host = str(environment.host)
        self._runner: Any = environment.runner
        self._expected = environment.parsed_options.expect_workers
        self._replies: Queue[Message] = Queue()
        for kind in (TAKEN, SENT, FAILED):
            self._runner.register_message(kind, lambda msg, **_: self._replies.put(msg))

    def serve(self) -> None:
        connection = Connection(int(os.environ[FILE_NUMBER_VARIABLE]))
        connection.send({"state": "ready", "scheduling": hurried()})
        try:
            while True:
                self._carry_out(connection, _received(connection))
        except (EOFError, OSError):
            self._runner.quit()

    def _carry_out(self, connection: Connection, window: dict[str, Any]) -> None:
        """Watches the connection while the window runs: the end of `compare` ends it too."""
        running = gevent.spawn(self._send, window)
        ending = gevent.spawn(_received, connection)
        gevent.wait([running, ending], count=1)
        if not running.ready():
            running.kill()
            raise EOFError("the connection closed during a window")
        ending.kill()
        if running.successful():
            connection.send({"state": "done", **running.value})
        else:
            connection.send({"state": "failed", "why": repr(running.exception)})

    def _send(self, window: dict[str, Any]) -> dict[str, Any]:
        """Sends a window's sagas; returns their `answers`, in the order of their starts, and the
        largest `clock_step_ms` of a sender.

        `requests`: a JSON body and a token (or "") for each start of the schedule; `arrivals`,
        `rate`, `seconds`, `seed`: the schedule; `patience`: seconds to wait for answers after the
        last start.
        """
        starts = offsets(
            arrivals=Arrivals(window["arrivals"]),
            rate=window["rate"],
            seconds=window["seconds"],
            seed=window["seed"],
        )
        requests = _requests(self._host, window["requests"])
        if len(requests) != len(starts):
            raise ValueError(f"{len(requests)} requests for {len(starts)} starts")
        senders = self._senders()
        for place, sender in enumerate(senders):
            share = {"starts": starts[place :: len(senders)], "patience": window["patience"]}
            share["requests"] = requests[place :: len(senders)]
            self._runner.send_message(SHARE, share, sender)
        self._replies_of(TAKEN, len(senders), REPLY_SECONDS)
        self._runner.send_message(GO, {"first": time.time() + LEAD_SECONDS})
        within = window["seconds"] + window["patience"] + REPLY_SECONDS
        shares = self._replies_of(SENT, len(senders), within)
        answers = sorted(Answer(*row) for share in shares for row in share["answers"])
        steps = (share["clock_step_ms"] for share in shares)
        return {"answers": answers, "clock_step_ms": max(steps, key=abs)}

    def _senders(self) -> list[str]:
        """The ids of the workers. Raises RuntimeError if a worker is missing."""
        if not isinstance(self._runner, MasterRunner):
            return [ALONE]
        clients = self._runner.clients
        found = sorted(client.id for client in clients.all if client not in clients.missing)
        if len(found) != self._expected:
            raise RuntimeError(f"{len(found)} of {self._expected} workers of Locust are there")
        return found

    def _replies_of(self, kind: str, count: int, within: float) -> list[dict[str, Any]]:
        """The replies of `count` senders. Raises RuntimeError if a sender fails or is silent."""
        received: list[dict[str, Any]] = []
        with gevent.Timeout(within, RuntimeError(f"not every worker of Locust has {kind}")):
            while len(received) < count:
                with suppress(Empty):
                    reply = self._replies.get(timeout=LOOK_SECONDS)
                    if reply.type == FAILED:
                        raise RuntimeError(reply.data["why"])
                    received.append(reply.data)
                self._senders()
        return received


class Dispatcher:
    """Sends its share of each window."""

    def __init__(self, environment: Any) -> None:
        self._connections = partial(_connections, str(environment.host))
        self._runner: Any = environment.runner
        self._runner.register_message(SHARE, self._take)
        # In a greenlet of its own, so that Locust still receives the master's other messages.
        self._runner.register_message(GO, self._go, concurrent=True)

    def _take(self, msg: Message, **_: Any) -> None:
        self._share = msg.data
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection in the middle would delay the starts
        self._runner.send_message(TAKEN, {})

    def _go(self, msg: Message, **_: Any) -> None:
        try:
            self._runner.send_message(SENT, self._sent(msg.data["first"]))
        except Exception as error:  # noqa: BLE001 -- the master reports any failure
            self._runner.send_message(FAILED, {"why": repr(error)})
        finally:
            gc.enable()

    def _sent(self, first: float) -> dict[str, Any]:
        """`first`: when the window begins, in seconds since 1970."""
        epoch = time.time() - time.monotonic()
        connections = self._connections()
        share = self._share
        arrivals = [
            CheckoutArrival(first - epoch + start, request)
            for start, request in zip(share["starts"], share["requests"], strict=True)
        ]
        dispatch(arrivals=arrivals, do=partial(_check_out, connections), patience=share["patience"])
        connections.close()
        step = (time.time() - time.monotonic() - epoch) * 1000
        return {"answers": [_answer(arrival, epoch) for arrival in arrivals], "clock_step_ms": step}


def _received(connection: Connection) -> dict[str, Any]:
    """The next window; waits without blocking other greenlets. Raises EOFError once the other side
    has closed the connection."""
    wait_read(connection.fileno())
    window: dict[str, Any] = connection.recv()
    return window


def hurried() -> str:
    """Gives this process real-time scheduling where that is allowed, as if the shoppers had a
    machine of their own; returns in words how it is scheduled.

    Beside a shop that keeps all cores busy, an ordinary process waits for the CPU: at 300 arrivals
    per second on 2 cores the send lag's p99 was 5 to 35 ms, and with real-time scheduling 0.2 to
    0.4 ms. It needs no more CPU for that (a tenth of a core then), and the kernel reserves a share
    for others (sched_rt_runtime_us, see sched(7)).
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LOWEST_REAL_TIME))
    except (AttributeError, OSError):
        return USUAL
    return REAL_TIME


def _check_out(connections: Connections, arrival: CheckoutArrival) -> None:
    try:
        arrival.status, arrival.body = connections.exchange(request=arrival.request)
    except OSError as error:
        arrival.error = str(error)
    arrival.ended = time.monotonic()


def _requests(host: str, asked: Sequence[tuple[bytes, str]]) -> list[bytes]:
    """`host`: with the path that starts a saga."""
    url = urlsplit(host)
    return [post(host=url.netloc, path=url.path, body=body, token=token) for body, token in asked]


def _connections(host: str) -> Connections:
    parts = urlsplit(host)
    return Connections(host=parts.hostname or "127.0.0.1", port=parts.port or 80)


def _answer(arrival: CheckoutArrival, epoch: float) -> Answer:
    """With its times rounded to the microsecond, as they are stored."""
    times = (arrival.intended, arrival.started, arrival.ended)
    intended, sent, answered = (round(at + epoch, 6) if at else 0.0 for at in times)
    return Answer(intended, sent, answered, arrival.status, *_found(arrival))


def _found(arrival: CheckoutArrival) -> tuple[str, str]:
    """The saga's id, and the error (a problem's code and detail, or the connection's), if any."""
    if arrival.status in (201, 202):
        return msgspec.json.decode(arrival.body, type=_Accepted).saga_id, ""
    if arrival.ended == 0:
        return "", "no answer"
    if arrival.error:
        return "", arrival.error
    try:
        problem = msgspec.json.decode(arrival.body, type=_Refusal)
    except msgspec.MsgspecError:
        return "", f"status {arrival.status}: {arrival.body[:300].decode(errors='replace')}"
    return "", f"{problem.code}: {problem.detail}"


@events.init.add_listener
def _take_part(environment: Environment, **_: Any) -> None:
    if FILE_NUMBER_VARIABLE not in os.environ:
        raise SystemExit(
            "arrivals.py is driven by `manage.py compare`; by hand, use loadtests/locustfile.py."
        )
    if not isinstance(environment.runner, MasterRunner):
        Dispatcher(environment)
    if isinstance(environment.runner, WorkerRunner):
        os.close(int(os.environ[FILE_NUMBER_VARIABLE]))  # the master's: its end is the connection's
        hurried()


@events.test_start.add_listener
def _serve(environment: Environment, **_: Any) -> None:
    """Locust calls this once its workers, if any, are there."""
    if not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(WindowMaster(environment).serve)
