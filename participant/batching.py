"""Group commit: commands (or questions) that come at once are executed as one batch.

A request that finds no batch running executes its own command at once: a quiet door waits for
nothing. Commands that come meanwhile wait, and one of their requests then executes them all as one
list, in one transaction: a rush costs a few transactions instead of one each.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, Protocol, TypeVar

from participant import sql

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class ExecuteBatch(Protocol[Result_co]):
    """`participant.executing.execute` of one operation, or whatever does the same for a list."""

    def __call__(self, *, commands: Sequence[Any]) -> Sequence[Result_co]: ...


class Batcher(Generic[Result]):
    """The way into one operation for commands that come on many threads.

    `execute_batch`: executes a list of them, in one transaction, at `service`. `most`: in one list.
    `waiting`: within it a request waits for a batch of another one's.
    """

    def __init__(
        self,
        *,
        service: str,
        execute_batch: ExecuteBatch[Result],
        most: int = 100,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._waits = waiting
        self._service = service
        self._execute_batch = execute_batch
        self._most = most
        self._waiting: list[_Entry[Result]] = []
        self._is_busy = False
        self._lock = threading.Lock()

    def execute(self, *, command: Any) -> Result:
        """What became of this one command; a fault of another's is not seen."""
        place: _Entry[Result] = _Entry(command)
        with self._lock:
            # Queued even when nothing runs: the leader takes its own command from the queue too.
            self._waiting.append(place)
            leads, self._is_busy = not self._is_busy, True
        if not leads:
            with self._waits():
                leads = place.wait()
        if leads:
            self._run_batch()
        return place.result()

    def _run_batch(self) -> None:
        with self._lock:
            batch = self._waiting[: self._most]
            del self._waiting[: self._most]
        try:
            self._settle(batch)
        finally:
            # The hand-over of leadership, in one step under the lock: a command that comes now is
            # either in the queue whose first leads next, or finds nothing busy and leads itself.
            # A leader runs one batch only: its own answer must not wait for those behind it.
            with self._lock:
                self._is_busy = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].lead()
            # Only then: the next batch must not wait until all of this one have gone on.
            for place in batch:
                place.tell()

    def _settle(self, batch: Sequence["_Entry[Result]"]) -> None:
        try:
            self._run_together(batch)
        except Exception as error:  # noqa: BLE001 -- whatever it was: each learns its own below
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                self._settle_apart(batch, is_busy=sql.is_busy(error))

    def _settle_apart(self, batch: Sequence["_Entry[Result]"], *, is_busy: bool) -> None:
        """One that waits for a locked row holds up no other."""
        with sql.impatient(service=self._service) if is_busy else nullcontext():
            for place in batch:
                self._settle_alone(place)

    def _settle_alone(self, place: "_Entry[Result]") -> None:
        try:
            self._run_together([place])
        except Exception as error:  # noqa: BLE001 -- raised again on the thread that it belongs to
            place.fail(error)

    def _run_together(self, batch: Sequence["_Entry[Result]"]) -> None:
        executed = self._execute_batch(commands=[place.command for place in batch])
        for place, result in zip(batch, executed, strict=True):
            place.succeed(result)


class _Entry(Generic[Result]):
    """One command's place among those that wait."""

    def __init__(self, command: Any) -> None:
        self.command = command
        self._result: Result | None = None
        self._error: Exception | None = None
        self._leads = False
        self._woken = threading.Event()

    def wait(self) -> bool:
        """Until it is settled, or has to lead: then true."""
        self._woken.wait()
        return self._leads

    def lead(self) -> None:
        self._leads = True
        self._woken.set()

    def succeed(self, executed: Result) -> None:
        self._result = executed

    def fail(self, error: Exception) -> None:
        self._error = error

    def tell(self) -> None:
        """It is settled."""
        self._woken.set()

    def result(self) -> Result:
        if self._result is None:
            raise self._error or AssertionError("nobody settled this command")
        return self._result
