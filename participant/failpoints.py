"""Failpoints (as etcd and FreeBSD have them): named moments before and after each lasting effect, a
commit, publish, ack, call or reply.

In a stack of the crash tests (`tests/chaos/`) a process can be killed at any failpoint, or held
there while a connection is cut or the database restarts. Everywhere else a failpoint reads one
variable, which takes 0.03 µs. docs/reference/failpoints.md lists them all.

A test stack names a folder in DUETO_POINTS. A file `armed/PROCESS/POINT` there, or `armed/PROCESS/
POINT of WHAT`, is an order to the first process that reaches the point, and to no later one.
"""

import logging
import os
import signal
import time
from pathlib import Path
from typing import Protocol

log = logging.getLogger(__name__)

FOLDER = "DUETO_POINTS"
KILL, HOLD = "kill", "hold"
LONGEST_HOLD_SECONDS = 30.0
_LOOK_SECONDS = 0.005


class Named(Protocol):
    """What a process is at, if one point serves many: an operation, say."""

    @property
    def name(self) -> str: ...


class _Orders:
    """The folder as one process sees it."""

    def __init__(self, folder: Path, process: str) -> None:
        self._armed = folder / "armed" / process
        self._taken = folder / "taken" / process
        self._seen = folder / "seen" / process
        for path in (self._armed, self._taken, self._seen):
            path.mkdir(parents=True, exist_ok=True)
        self._noted: set[str] = set()

    def obey(self, point: str) -> None:
        if point not in self._noted:
            self._noted.add(point)
            (self._seen / point).touch()
        try:
            # The thread that renames the file has the order: exactly one does.
            (self._armed / point).rename(self._taken / point)
        except FileNotFoundError:
            return
        log.warning("at %s: as ordered", point)
        if (self._taken / point).read_text() == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        self._hold(self._taken / f"{point} released")

    def _hold(self, released: Path) -> None:
        until = time.monotonic() + LONGEST_HOLD_SECONDS
        while not released.exists() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)


_orders: _Orders | None = None


def reach(point: str, of: Named | None = None) -> None:
    """Obeys the orders for this point. `of`: what the process is at, if one point serves many."""
    if _orders is not None:
        _orders.obey(point)
        if of is not None:
            _orders.obey(f"{point} of {of.name}")


def listen(*, process: str) -> None:
    """Makes this process (`carrito.worker`) obey orders, if a test stack has named a folder."""
    global _orders
    folder = os.environ.get(FOLDER)
    if folder:
        log.warning("%s may be killed at its points, by order in %s", process, folder)
        _orders = _Orders(Path(folder), process)
