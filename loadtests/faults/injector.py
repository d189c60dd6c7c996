"""Makes the planned faults on a running stack, each at its time, on its own processes only."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from contracts.topology import queue_of
from loadtests.faults import outsider
from loadtests.faults.plan import POSTGRES, RABBITMQ, FaultKind, PlannedFault, processes_among
from stack.console import StackError
from stack.local import LocalStack
from stack.proxy import Proxy

_PAUSE = 'kill -STOP "$@"; sleep "$0"; kill -CONT "$@"'
"""A pause in a process of its own, which ends it even if we are killed meanwhile."""
PURGE_AFTER_SECONDS = 1.0
"""For messages to queue up without a worker; less than a worker needs to restart."""
TARGET_SECONDS, AGAIN_SECONDS = 10.0, 0.2
"""How long a fault waits for a target that is down, and the time between two attempts."""
LOOPBACK = "127.0.0.1"
_ASK = {POSTGRES: signal.SIGINT}
"""The signal that ends a server and its connections, where it is not SIGTERM."""


class _NotNow(Exception):
    """The target does not run now."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A fault as it was made. Times are seconds since 1970; `note`: its effect, or why it was not
    made."""

    fault: PlannedFault
    began_at: float
    ended_at: float
    is_made: bool
    note: str = ""


class Detours:
    """A TCP proxy in front of each server, where the services' connections can be cut. `through`
    is for the stack's `detour`.
    """

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    def through(self, url: str) -> str:
        """The URL with the server's proxy as the host, over TCP even if it names a socket."""
        parts = urlsplit(url)
        server = POSTGRES if parts.scheme.startswith("postgres") else RABBITMQ
        if server not in self._proxies:
            port = parts.port or int(parse_qs(parts.query)["port"][0])
            self._proxies[server] = Proxy(LOOPBACK, port)
        login = parts.netloc.rpartition("@")[0]
        place = f"{LOOPBACK}:{self._proxies[server].port}"
        return parts._replace(netloc=f"{login}@{place}", query="").geturl()

    def cut(self, server: str) -> None:
        """Ends all connections to it, and refuses new ones until `mend`."""
        self._proxies[server].refuse()

    def mend(self, server: str) -> None:
        self._proxies[server].listen()

    def close(self) -> None:
        """Ends the proxies; the stack must have stopped."""
        for proxy in self._proxies.values():
            proxy.close()


class FaultInjector:
    """Makes faults, each in a thread, between `start` and `finish`.

    `during`: entered while a fault lasts. `detours`: whose connections can be cut.
    """

    def __init__(
        self,
        *,
        stack: LocalStack,
        say: Callable[[str], None],
        detours: Detours | None = None,
        during: Callable[[PlannedFault], AbstractContextManager[None]] = lambda fault: (
            nullcontext()
        ),
    ) -> None:
        self.made: list[Made] = []
        self._stack, self._say, self._during = stack, say, during
        self._detours = detours or Detours()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, *, faults: Sequence[PlannedFault]) -> None:
        """Makes these faults; their times count from now."""
        self._in_thread(self._make_all, faults, time.monotonic())

    def finish(self) -> None:
        """Ends current faults, makes no further ones, and returns when all have ended."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def last(self) -> Made | None:
        return self.made[-1] if self.made else None

    def _make_all(self, faults: Sequence[PlannedFault], started_at: float) -> None:
        for fault in faults:
            if self._stop.wait(started_at + fault.at - time.monotonic()):
                return
            self._in_thread(self._make, fault)

    def _make(self, fault: PlannedFault) -> None:
        began_at, is_made = time.time(), True
        try:
            note = self._once_there(fault)
        except (_NotNow, OSError, StackError, psutil.Error) as error:
            is_made, note = False, f"not made: {str(error) or repr(error)}"
        self.made.append(
            Made(fault=fault, began_at=began_at, ended_at=time.time(), is_made=is_made, note=note)
        )
        self._say(f"fault {fault.number}: {fault}{f'; {note}' if note else ''}")

    def _in_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, name="fault", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _once_there(self, fault: PlannedFault) -> str:
        """Makes the fault; waits for a target that is down because of an earlier fault."""
        deadline = time.monotonic() + TARGET_SECONDS
        while True:
            try:
                return _HOW[fault.kind](self, fault)
            except (_NotNow, ConnectionError):
                if time.monotonic() > deadline or self._stop.wait(AGAIN_SECONDS):
                    raise

    def _kill(self, fault: PlannedFault) -> str:
        self._pid(fault)
        self._stack.kill(fault.target, signal.SIGKILL)
        return ""

    def _restart(self, fault: PlannedFault) -> str:
        self._pid(fault)
        self._stack.kill(fault.target, _ASK.get(fault.target, signal.SIGTERM))
        return ""

    def _pid(self, fault: PlannedFault) -> int:
        pid = self._stack.processes.get(fault.target)
        if pid is None:
            raise _NotNow("it is down already")
        return pid

    def _pause(self, fault: PlannedFault) -> str:
        """Stops the whole process tree, from the root, which then starts no new processes."""
        root = psutil.Process(self._pid(fault))
        tree = [root.pid, *(child.pid for child in root.children(recursive=True))]
        command = ["sh", "-c", _PAUSE, f"{fault.seconds:.3f}", *map(str, tree)]
        with subprocess.Popen(  # noqa: S603 -- our own command, on our own processes
            command, start_new_session=True, stderr=subprocess.DEVNULL
        ) as pausing:
            while pausing.poll() is None and not self._stop.wait(0.05):
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pausing.pid, signal.SIGKILL)
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return ""

    def _away(self, fault: PlannedFault) -> str:
        began = time.monotonic()
        processes = processes_among(services=[fault.target])
        for name in processes:
            self._stack.stop_process(name)
        self._last(fault, less=time.monotonic() - began)
        for name in processes:
            self._stack.restart(name)
        return ""

    def _cut(self, fault: PlannedFault) -> str:
        self._detours.cut(fault.target)
        self._last(fault)
        self._detours.mend(fault.target)
        return ""

    def _purge(self, fault: PlannedFault) -> str:
        """With its worker killed, which holds most of its messages itself."""
        self._stack.kill(f"{fault.target}.worker", signal.SIGKILL)
        self._stop.wait(PURGE_AFTER_SECONDS)
        return outsider.purge(**self._queue(fault))

    def _foreign(self, fault: PlannedFault) -> str:
        return outsider.intrude(**self._queue(fault))

    def _usurp(self, fault: PlannedFault) -> str:
        outsider.usurp(**self._queue(fault), wait=self._wait(fault))
        self._mend_topology()
        return ""

    def _mend_topology(self) -> None:
        """Retries while the broker is down because of another fault."""
        deadline = time.monotonic() + TARGET_SECONDS
        while True:
            try:
                return self._stack.make_topology()
            except StackError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(AGAIN_SECONDS)

    def _lock(self, fault: PlannedFault) -> str:
        return outsider.hold_row(
            url=self._database(fault), service=fault.target, wait=self._wait(fault)
        )

    def _read_only(self, fault: PlannedFault) -> str:
        return outsider.make_read_only(url=self._database(fault), wait=self._wait(fault))

    def _migrate(self, fault: PlannedFault) -> str:
        return outsider.change_column(url=self._database(fault), service=fault.target)

    def _queue(self, fault: PlannedFault) -> dict[str, str]:
        queue = queue_of(service=fault.target)
        return {"url": self._stack.rabbitmq_url or "", "queue": queue}

    def _database(self, fault: PlannedFault) -> str:
        return self._stack.superuser_urls[fault.target]

    def _wait(self, fault: PlannedFault) -> outsider.Wait:
        return partial(self._last, fault)

    def _last(self, fault: PlannedFault, *, less: float = 0.0) -> None:
        """Returns when the fault should end; `less`: seconds that it has already lasted."""
        with self._during(fault):
            self._stop.wait(max(fault.seconds - less, 0.0))


_HOW = {
    FaultKind.KILL: FaultInjector._kill,
    FaultKind.PAUSE: FaultInjector._pause,
    FaultKind.AWAY: FaultInjector._away,
    FaultKind.CUT: FaultInjector._cut,
    FaultKind.RESTART: FaultInjector._restart,
    FaultKind.PURGE: FaultInjector._purge,
    FaultKind.LOCK: FaultInjector._lock,
    FaultKind.READ_ONLY: FaultInjector._read_only,
    FaultKind.MIGRATE: FaultInjector._migrate,
    FaultKind.FOREIGN: FaultInjector._foreign,
    FaultKind.USURP: FaultInjector._usurp,
}
