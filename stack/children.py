"""One child process: what to run, and the process that runs it now."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack import identity
from stack.accounts import Account
from stack.leash import KEEP_USER

LEASH = Path(__file__).with_name("leash.py")
FIRST_PAUSE = 0.5
TAIL_LINES, TAIL_BYTES, LONGEST_LINE = 12, 8000, 300


def leashed(
    argv: Sequence[str], *, orphaned: int, account: Account | None = None
) -> tuple[str, ...]:
    """The command, run as `account`, that gets the signal `orphaned` when the calling process
    (in truth the thread that forks it) ends."""
    user = (account.uid, account.gid) if account else (KEEP_USER, KEEP_USER)
    numbers = (os.getpid(), int(orphaned), *user)
    return (sys.executable, "-I", "-S", str(LEASH), *map(str, numbers), *argv)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, as whom, and how it is told to end."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    log: Path
    account: Account | None = None
    """None: as ourselves."""
    orphaned: int = signal.SIGKILL
    """The signal it gets from the kernel when we are killed."""
    farewells: tuple[int, ...] = (signal.SIGTERM,)
    """Sent one after the other, `patience` seconds apart; SIGKILL to its group comes last."""
    patience: float = 8.0
    is_task: bool = False
    """Ends by itself: its end is a result, not a crash."""


class Child:
    """A program and the process that runs it now, if one does."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.pidfd = -1
        self.status: int | None = None
        self.ended = threading.Event()
        self.started_at = 0.0
        self.restart_at: float | None = None
        self.pause = FIRST_PAUSE
        self.log_start = 0

    def spawn(self) -> None:
        program = self.program
        with open(program.log, "ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(  # noqa: S603 - our own commands
                leashed(program.argv, orphaned=program.orphaned, account=program.account),
                env=dict(program.environment),
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self.pidfd = identity.handle_of(self.process.pid)
        except BaseException:
            self._undo_spawn(self.process)
            raise
        self.started_at, self.restart_at, self.status = time.monotonic(), None, None
        self.ended.clear()

    def _undo_spawn(self, process: subprocess.Popen[bytes]) -> None:
        """One that can't be watched must not run: nobody would ever end it."""
        self.process = None
        process.kill()
        process.wait()

    def has_ended(self, *, within: float = 0.0) -> bool:
        if self.process is None:
            return True
        return bool(select.select([self.pidfd], [], [], max(within, 0.0))[0])

    def signal(self, number: int) -> None:
        """To the whole group: a web process has a process of its own below it."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def bury(self) -> None:
        """Clears away what is left of an ended process: its group, its zombie, its handles."""
        if self.process is None:
            return
        # Before the zombie is collected, so that the number can't belong to somebody else yet.
        self.signal(signal.SIGKILL)
        self.status = self.process.wait()
        os.close(self.pidfd)
        self.process = None
        self.ended.set()

    def tail(self, *, lines: int = TAIL_LINES) -> str:
        with open(self.program.log, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_start, size - TAIL_BYTES))
            said = log.read().decode(errors="replace").splitlines()
        shown = [f"    {line[:LONGEST_LINE]}" for line in said[-lines:]]
        return "\n".join(shown) or "    (it said nothing)"

    def obituary(self) -> str:
        return f"{self.program.name} {_how(self.status)}"


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"
