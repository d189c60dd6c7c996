"""One process: its user, its identity, and a child process that we start and watch."""

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from stack.console import StackError
from stack.pdeathsig import KEEP_USER

PDEATHSIG = Path(__file__).with_name("pdeathsig.py")
FIRST_PAUSE = 0.5
TAIL_LINES, TAIL_BYTES, LONGEST_LINE = 12, 8000, 300
OWN_USER, ANYBODY = "dueto", "nobody"
_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing parenthesis
_ZOMBIE = "Z"


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The user that PostgreSQL runs as: None (ourselves) or, if we are root, `dueto` if that
    exists, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in (OWN_USER, ANYBODY):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise StackError(
        f"PostgreSQL refuses to run as root, and there is no user {OWN_USER!r} or {ANYBODY!r} to"
        " run it as. Run this as an ordinary user, or set DATABASE_URL to a server of your own."
    )


def identify(pid: int) -> dict[str, int] | None:
    """Identifies the process for later; None if it has ended (or is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == _ZOMBIE:
        return None
    return {"pid": pid, "started": int(fields[_START_TIME_FIELD])}


def is_alive(known: dict[str, Any] | None) -> bool:
    """Whether the same process that `identify` described still runs."""
    return known is not None and identify(known["pid"]) == known


def is_stopped(pid: int) -> bool:
    """Whether it is stopped (SIGSTOP)."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    return False


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    with contextlib.suppress(psutil.Error):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return [pid]


def wait_for_end(known: dict[str, Any], *, seconds: float) -> bool:
    """Whether it ends within that time."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        if is_alive(known):
            psutil.Process(known["pid"]).wait(seconds)
    return not is_alive(known)


def end(known: dict[str, Any], *, seconds: float) -> None:
    """Waits for it to end by itself, else kills its group."""
    if not wait_for_end(known, seconds=seconds):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(known["pid"], signal.SIGKILL)
        wait_for_end(known, seconds=seconds)


def bound_to_parent(
    argv: Sequence[str], *, on_parent_death: int, account: Account | None = None
) -> tuple[str, ...]:
    """The command line that runs `argv` as `account`, with the signal `on_parent_death` when the
    calling process (strictly: the thread that forks it) ends.
    """
    user = (account.uid, account.gid) if account else (KEEP_USER, KEEP_USER)
    numbers = (os.getpid(), int(on_parent_death), *user)
    return (sys.executable, "-I", "-S", str(PDEATHSIG), *map(str, numbers), *argv)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, its user, and how to stop it."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    log: Path
    account: Account | None = None
    """None: as ourselves."""
    on_parent_death: int = signal.SIGKILL
    """The signal from the kernel when we are killed."""
    stop_signals: tuple[int, ...] = (signal.SIGTERM,)
    """Sent one after the other, `patience` seconds apart; then SIGKILL to its group."""
    patience: float = 8.0
    is_task: bool = False
    """Whether it is expected to end by itself."""


class Child:
    """A program and its current process, if any."""

    def __init__(self, program: Program, *, on_exit: Callable[[], None]) -> None:
        """`on_exit` is called in a thread of its own, while the process is a zombie."""
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.status: int | None = None
        self.reaped = threading.Event()
        self.started_at = 0.0
        self.restart_at: float | None = None
        self.pause = FIRST_PAUSE
        self.log_start = 0
        self._on_exit, self._exited = on_exit, threading.Event()

    def spawn(self) -> None:
        """Raises OSError or RuntimeError if no process or thread can be started."""
        program = self.program
        with open(program.log, "ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(  # noqa: S603 - our own commands
                bound_to_parent(
                    program.argv, on_parent_death=program.on_parent_death, account=program.account
                ),
                env=dict(program.environment),
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started_at, self.restart_at, self.status = time.monotonic(), None, None
        self.reaped.clear()
        self._exited = threading.Event()
        arguments = (self.process.pid, self._exited, self._on_exit)
        try:
            threading.Thread(target=_wait_for_exit, args=arguments, daemon=True).start()
        except RuntimeError:
            self._exited.set()
            self.reap()  # a process that can't be watched would never be ended
            raise

    def has_ended(self, *, within: float = 0.0) -> bool:
        return self.process is None or self._exited.wait(max(within, 0.0))

    def signal(self, number: int) -> None:
        """Sends it to the whole group, as a web process has a child of its own."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def reap(self) -> None:
        """Removes what is left of an ended process: its group, its zombie."""
        if self.process is None:
            return
        # Before the zombie is collected, so that its pid can't belong to another process yet.
        self.signal(signal.SIGKILL)
        self.status = self.process.wait()
        self.process = None
        self.reaped.set()

    def tail(self, *, lines: int = TAIL_LINES) -> str:
        with open(self.program.log, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_start, size - TAIL_BYTES))
            written = log.read().decode(errors="replace").splitlines()
        shown = [f"    {line[:LONGEST_LINE]}" for line in written[-lines:]]
        return "\n".join(shown) or "    (it wrote nothing)"

    def exit_report(self) -> str:
        status, name = self.status, self.program.name
        if status is not None and status < 0:
            return f"{name} was ended by {signal.Signals(-status).name}"
        return f"{name} ended with exit code {status}"

    def report(self) -> str:
        """How it has ended, and its last lines."""
        return f"{self.exit_report()}:\n{self.tail()}\nAll of it: {self.program.log}"


def _wait_for_exit(pid: int, exited: threading.Event, on_exit: Callable[[], None]) -> None:
    """Leaves the zombie to `reap`, so that its pid is not reused meanwhile."""
    with contextlib.suppress(ChildProcessError):  # reaped already
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    exited.set()
    on_exit()


def wait_until_ready(
    program: Program,
    *,
    attempt: Callable[[], object],
    failing: type[Exception],
    check: Callable[[], None],
    seconds: float,
) -> None:
    """Repeats `attempt` until it no longer raises `failing`. Raises StackError if that takes longer
    than `seconds`, and what `check` raises."""
    deadline = time.monotonic() + seconds
    while True:
        check()
        try:
            attempt()
        except failing as error:
            if time.monotonic() > deadline:
                raise StackError(
                    f"{program.name} is not ready after {seconds:g} s ({error});"
                    f" its log: {program.log}"
                ) from error
            time.sleep(0.02)
        else:
            return
