"""Group commit: commands (or queries) that come at once are executed as one batch.

A request that finds no batch running executes its own command at once: at low load nothing waits.
Commands that come meanwhile wait, and one of their requests then executes them all as one list, in
one transaction: a burst costs a few transactions instead of one per command.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, Protocol, TypeVar

from participant import sql

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class ExecuteBatch(Protocol[Result_co]):
    """`participant.executing.execute` of one operation, or a function with the same shape."""

    def __call__(self, *, commands: Sequence[Any]) -> Sequence[Result_co]: ...


class Batcher(Generic[Result]):
    """Batches the commands of many threads for one operation.

    `execute_batch`: executes a list of commands, in one transaction, at `service`. `most`: commands
    in one list. `waiting`: a context in which a request waits for the batch of another thread.
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
        """The result of this command; faults of other commands are not raised here."""
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
            # either in the queue whose first entry leads next, or finds no leader and leads itself.
            # A leader runs one batch only: its own answer must not wait for later commands.
            with self._lock:
                self._is_busy = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].lead()
            # Only then: the next batch must not wait until all threads of this one are woken.
            for place in batch:
                place.tell()

    def _settle(self, batch: Sequence["_Entry[Result]"]) -> None:
        try:
            self._run_together(batch)
        except Exception as error:  # noqa: BLE001 -- any fault: each command gets its own below
            if len(batch) == 1:
                batch[0].fail(error)
            else:
                self._settle_apart(batch, is_busy=sql.is_busy(error))

    def _settle_apart(self, batch: Sequence["_Entry[Result]"], *, is_busy: bool) -> None:
        """Each command alone: one that waits for a locked row delays no other."""
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
        """Waits until the command is settled (False), or its thread has to lead (True)."""
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
        """Wakes the thread: its command is settled."""
        self._woken.set()

    def result(self) -> Result:
        if self._result is None:
            raise self._error or AssertionError("this command was never settled")
        return self._result
