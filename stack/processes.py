"""Child processes that never outlive us: started, watched, restarted, stopped together.

One thread starts and watches all of them. So a Ctrl-C in the caller can't come between a fork and
its bookkeeping; and the death signal of each child, which the kernel ties to the thread that forked
it, is tied to a thread that lives as long as the stack.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from stack.children import FIRST_PAUSE, Child, Program
from stack.console import StackError

LONGEST_PAUSE, STEADY_SECONDS = 15.0, 30.0
CRASH_LINES = 3
KILL_SECONDS = 10.0

T = TypeVar("T")


def _look() -> bool:
    """A job that does nothing: ended processes are reaped before each job."""
    return True


def _end() -> bool:
    """The last job."""
    return False


class Supervisor:
    """Starts and supervises programs; `close()` ends those that still run."""

    def __init__(
        self,
        *,
        announce: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        """`longest_pause`: seconds until a program that crashes repeatedly is restarted."""
        self.restarts = False
        """Whether a crashed program is restarted; off during the start of the stack."""
        self.instead: dict[str, Callable[[], None]] = {}
        """By name: called, once and in a thread of its own, when the program crashes, instead of a
        restart: another program takes over."""
        self._announce, self._changed = announce, changed
        self._longest_pause = longest_pause
        self._children: dict[str, Child] = {}
        self._crashed: dict[str, str] = {}
        self._jobs: queue.SimpleQueue[Callable[[], bool]] = queue.SimpleQueue()
        """Return whether to continue. The end of a process also adds a job."""
        self._running = threading.Lock()
        self._closed = False
        # A daemon, so that a caller that forgot close() can exit; the children then die with this
        # thread.
        self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)
        self._thread.start()

    def start(self, program: Program) -> int:
        """Starts a program and returns its process id."""

        def job() -> int:
            child = self._children[program.name] = Child(
                program, on_exit=lambda: self._jobs.put(_look)
            )
            child.spawn()
            self._crashed.pop(program.name, None)
            self._changed()
            return child.process.pid if child.process else 0

        return self._do(job)

    def run(self, program: Program) -> str:
        """Runs a task and returns its last lines. One task at a time, as they may have the same
        name. Raises StackError if it fails.
        """
        with self._running:
            self.start(program)
            child = self._children[program.name]
            while not child.reaped.wait(timeout=0.1):
                self.check()
            self._do(lambda: self._children.pop(program.name, None))
        if child.status != 0:
            raise StackError(child.report())
        return child.tail()

    def check(self) -> None:
        """Raises StackError if a program has crashed and is not restarted."""
        for message in list(self._crashed.values()):
            raise StackError(message)

    def pids(self) -> dict[str, int]:
        """The current process ids by name."""
        running = [(name, child.process) for name, child in list(self._children.items())]
        return {name: process.pid for name, process in running if process is not None}

    def kill(self, name: str, number: int) -> None:
        """Sends a signal to a program's whole group; waits for the end after a SIGKILL."""
        self._do(lambda: self._kill(self._children[name], number))

    def restart(self, name: str) -> int:
        """Stops a program, if it runs, and starts it; returns the new process id."""
        self.stop([name])
        return self.start(self._children[name].program)

    def stop(self, names: Iterable[str]) -> None:
        """Signals all of them, waits a bounded time, then kills their groups."""
        chosen = list(names)
        self._do(lambda: self._stop([self._children[name] for name in chosen]))

    def close(self) -> None:
        """Stops all programs and the supervising thread. Idempotent."""
        if self._closed:
            return
        self.stop(self.pids())
        self._closed = True
        self._jobs.put(_end)
        self._thread.join()

    def _do(self, job: Callable[[], T]) -> T:
        answer: Future[T] = Future()

        def work() -> bool:
            try:
                answer.set_result(job())
            except BaseException as error:  # noqa: BLE001 - passed on to the calling thread
                answer.set_exception(error)
            return True

        self._jobs.put(work)
        return answer.result()

    def _look_after(self) -> None:
        going = True
        while going:
            try:
                job = self._jobs.get(timeout=self._until_restart())
            except queue.Empty:
                job = None
            self._reap_the_ended()
            if job:
                going = job()
            self._restart_the_due()

    def _until_restart(self) -> float | None:
        due = [at for child in self._children.values() if (at := child.restart_at) is not None]
        return max(min(due) - time.monotonic(), 0.0) if due else None

    def _reap_the_ended(self) -> None:
        for child in list(self._children.values()):
            if child.process is not None and child.has_ended():
                child.reap()
                if not child.program.is_task:
                    self._crash(child)
                self._changed()

    def _crash(self, child: Child) -> None:
        if not self.restarts:
            self._crashed[child.program.name] = child.report()
            return
        if instead := self.instead.pop(child.program.name, None):
            self._announce(f"{child.exit_report()}; it is not restarted")
            threading.Thread(target=instead, name="instead", daemon=True).start()
            return
        if time.monotonic() - child.started_at > STEADY_SECONDS:
            child.pause = FIRST_PAUSE
        pause = min(child.pause, self._longest_pause)
        child.restart_at = time.monotonic() + pause
        self._announce(
            f"{child.exit_report()}; restarting it in {pause:g} s. Its last lines:\n"
            f"{child.tail(lines=CRASH_LINES)}"
        )
        child.pause = pause * 2

    def _restart_the_due(self) -> None:
        for child in list(self._children.values()):
            if child.restart_at is not None and child.restart_at <= time.monotonic():
                self._start_again(child)

    def _start_again(self, child: Child) -> None:
        try:
            child.spawn()
        except (OSError, RuntimeError) as error:  # no memory, no process slots: like a crash
            self._announce(f"{child.program.name} can't be started: {error}")
            child.restart_at = time.monotonic() + self._longest_pause
            return
        self._announce(f"{child.program.name} restarted")
        self._changed()

    def _kill(self, child: Child, number: int) -> None:
        child.signal(number)
        if number == signal.SIGKILL:
            child.has_ended(within=KILL_SECONDS)
            self._reap_the_ended()

    def _stop(self, children: list[Child]) -> None:
        for child in children:
            child.restart_at = None
        for round_ in range(
            max((len(child.program.stop_signals) for child in children), default=0)
        ):
            self._ask(children, round_)
        for child in children:
            child.signal(signal.SIGKILL)
        for child in children:
            child.has_ended(within=KILL_SECONDS)
            child.reap()
        self._changed()

    def _ask(self, children: list[Child], round_: int) -> None:
        asked = [
            child
            for child in children
            if round_ < len(child.program.stop_signals) and not child.has_ended()
        ]
        for child in asked:
            # Only the leader, which ends its descendants itself, in its own order.
            if child.process is not None:
                os.kill(child.process.pid, child.program.stop_signals[round_])
                os.kill(child.process.pid, signal.SIGCONT)
        asked_at = time.monotonic()
        for child in sorted(asked, key=lambda child: child.program.patience):
            child.has_ended(within=asked_at + child.program.patience - time.monotonic())
