"""The runner: claims sagas that are due, and gives them to its executor, or sends their requests.

Sagas belong to a runner while its lease lasts. The lease is a row with a time, renewed once a
second; a runner that has not renewed it for `store.SILENT_SECONDS`, because it died or was paused,
loses its sagas to the next runner that claims. If it resumes, each saga's version fences it off.
"""

import heapq
import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError

from coordination.participants import Participants
from messaging import wakeups
from participant import failpoints
from saga_orchestrator import messages, store
from saga_orchestrator.executor import Executor, end_counter, park
from saga_orchestrator.in_flight import ClaimedSaga, ClaimedUnreadable, database_clock

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often it claims without a wake-up, to find the sagas of a crash or a dead runner."""
MOST_IN_FLIGHT = 1000
MOST_IN_A_CLAIM = 200
STOP_SECONDS = 8.0


class RunnerComponent:
    """A component of the orchestrator's worker."""

    name = "runner"

    def __init__(self, *, participants: Participants) -> None:
        self._executor = Executor(participants=participants, on_release=self._on_release)
        self._woken = threading.Event()
        self._lease = Lease(on_first=self._woken.set)
        self._lock = threading.Lock()
        self._due_at: list[float] = []
        self._is_full = False

    def counters(self) -> dict[str, int]:
        waiting = {"sagas_waiting_for_a_person": self._lease.parked}
        return {**end_counter.counters(), **self._executor.counters(), **waiting}

    def run(self, stop: threading.Event) -> None:
        """Runs sagas until `stop` is set; then releases those that have not ended."""
        with wakeups.listening(
            service=store.ALIAS, channel=store.CHANNEL, flag=threading.Event()
        ) as self._woken:
            self._lease = Lease(on_first=self._woken.set)
            self._lease.start()
            while True:
                self._woken.clear()
                if stop.is_set():
                    break
                self._lease.check()
                if not self._claim():
                    self._woken.wait(self._patience())
        self._executor.close(seconds=STOP_SECONDS)
        self._lease.stop()
        store.close()

    def _claim(self) -> bool:
        """Claims once; returns whether more sagas may be due at once."""
        in_flight = self._executor.in_flight
        limit = min(MOST_IN_A_CLAIM, MOST_IN_FLIGHT - len(in_flight))
        full = self._executor.full
        self._is_full = limit <= 0 or bool(full)
        self._forget_what_is_due()
        if self._lease.runner_id is None or limit <= 0:
            return False
        try:
            failpoints.reach("runner.before_claim")
            began = time.monotonic()
            claimed = store.claim(
                runner_id=self._lease.runner_id, in_flight=in_flight, limit=limit, but=full
            )
            if claimed:
                failpoints.reach("runner.claimed")
            self._execute(claimed, began)
        except (DatabaseError, InterfaceError) as error:
            log.warning("claim: %s; again at the next sweep", error)
            store.close()
            return False
        return len(claimed) == limit

    def _execute(self, claimed: list[ClaimedSaga | ClaimedUnreadable], began: float) -> None:
        now = time.monotonic()
        sagas = [saga for saga in claimed if isinstance(saga, ClaimedSaga)]
        for saga in sagas:
            saga.deadline += now
            if saga.waited is None:
                database_clock.observe(began=began, returned=saga.entered)
        by_message = [saga for saga in sagas if messages.goes_by_message(saga=saga)]
        by_call = [saga for saga in sagas if not messages.goes_by_message(saga=saga)]
        self._executor.execute(sagas=by_call)
        for saga in claimed:
            if isinstance(saga, ClaimedUnreadable):
                park(saga)
        if by_message:
            self._ask(by_message)

    def _ask(self, sagas: list[ClaimedSaga]) -> None:
        try:
            written = messages.execute(sagas=sagas)
        except (DatabaseError, InterfaceError):
            raise
        except Exception as error:  # a bug with one saga must not end the runner for the others
            log.exception("%d sagas: requests not sent", len(sagas))
            self._after_bug(sagas, error)
            return
        waits = [transition.seconds for _, transition in written if transition.seconds]
        if len(written) < len(sagas):
            waits.append(0.0)  # another process has moved some since: a reply, a stop
        if waits:
            self._on_release(min(waits))

    def _after_bug(self, sagas: list[ClaimedSaga], error: Exception) -> None:
        """Finds the saga with the bug by working on each alone."""
        if len(sagas) > 1:
            for saga in sagas:
                self._ask([saga])
        else:
            self._executor.after_bug(saga=sagas[0], error=error)

    def _on_release(self, seconds: float | None) -> None:
        """The executor has room; the first saga that it released is due again in `seconds`."""
        if seconds is not None:
            with self._lock:
                heapq.heappush(self._due_at, time.monotonic() + seconds)
        if self._is_full or seconds is not None:
            self._woken.set()

    def _forget_what_is_due(self) -> None:
        """Drops past times: the next claim takes what is due, or the one after a release."""
        with self._lock:
            while self._due_at and self._due_at[0] <= time.monotonic():
                heapq.heappop(self._due_at)

    def _patience(self) -> float:
        with self._lock:
            until_due = self._due_at[0] - time.monotonic() if self._due_at else SWEEP_SECONDS
        return min(SWEEP_SECONDS, max(0.0, until_due))


RENEWAL_SECONDS = 1.0


class Lease:
    """The runner's claim on its sagas: renewed from `start` to `stop`.

    `runner_id`: None until the first renewal. `parked`: how many sagas wait for an operator, as of
    the last renewal.
    """

    def __init__(self, *, on_first: Callable[[], None]) -> None:
        self.runner_id: int | None = None
        self.parked = 0
        self._on_first = on_first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Signs the runner off."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises RuntimeError if its thread has died: a bug, and no saga may be run without it."""
        if not self._thread.is_alive():
            raise RuntimeError("the runner's lease thread has died")

    def _run(self) -> None:
        while not self._stop.is_set():
            self._if_the_database_is_there(self._renew)
            self._stop.wait(RENEWAL_SECONDS)
        self._if_the_database_is_there(self._sign_off)
        store.close()

    def _if_the_database_is_there(self, write: Callable[[], None]) -> None:
        try:
            write()
        except (DatabaseError, InterfaceError) as error:
            log.warning("lease of runner %s: %s", self.runner_id, error)
            store.close()

    def _renew(self) -> None:
        is_first = self.runner_id is None
        failpoints.reach("lease.before_renewal")
        self.runner_id, self.parked = store.renew(
            runner_id=self.runner_id, host=socket.gethostname(), pid=os.getpid()
        )
        failpoints.reach("lease.renewed")
        if is_first:
            self._on_first()

    def _sign_off(self) -> None:
        if self.runner_id is not None:
            failpoints.reach("lease.before_release")
            store.release(runner_id=self.runner_id)
            failpoints.reach("lease.before_sign_off")
            store.forget_runner(runner_id=self.runner_id)
            failpoints.reach("lease.signed_off")
