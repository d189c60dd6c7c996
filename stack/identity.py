"""Which process is meant: a number alone may belong to somebody else by now."""

import contextlib
import errno
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

from stack.errors import StackError

_NO_HANDLES = (
    "the system can't tell when a process ends (pidfd_open): this needs Linux 5.3 or newer, Python"
    " built for it, and a container that does not forbid it"
)
_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing parenthesis
_ZOMBIE = "Z"
_STOPPED = ("T", "t")


def of(pid: int) -> dict[str, int] | None:
    """The process as it can be recognised later, or None when it is gone (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == _ZOMBIE:
        return None
    return {"pid": pid, "started": int(fields[_START_TIME_FIELD])}


def is_alive(known: dict[str, Any] | None) -> bool:
    """Whether the very process that `of` described still runs."""
    return known is not None and of(known["pid"]) == known


def handle_of(pid: int) -> int:
    """A descriptor that becomes readable when the process ends; to be closed. Raises StackError
    where there are none, ProcessLookupError, and OSError for want of descriptors."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, PermissionError) as error:
        raise StackError(_NO_HANDLES) from error
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            raise StackError(_NO_HANDLES) from error
        raise


def require_handles() -> None:
    """Raises StackError where processes can't be watched: nothing is to be started there."""
    os.close(handle_of(os.getpid()))


def is_stopped(pid: int) -> bool:
    """Whether it lives and does nothing (SIGSTOP), until somebody continues it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in _STOPPED
    except OSError:
        return False


def family(pid: int) -> list[int]:
    """The process and those below it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [one for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        children = []
    return [pid, *(one for child in children for one in family(int(child)))]


def wait_for_end(known: dict[str, Any], *, seconds: float) -> bool:
    """Whether it has ended within that time."""
    try:
        handle = handle_of(known["pid"])
    except ProcessLookupError:
        return True
    try:
        deadline = time.monotonic() + seconds
        if is_alive(known):
            select.select([handle], [], [], max(deadline - time.monotonic(), 0.0))
        return not is_alive(known)
    finally:
        os.close(handle)


def end(known: dict[str, Any], *, seconds: float) -> None:
    """Waits for it to end by itself, then kills its group."""
    if not wait_for_end(known, seconds=seconds):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(known["pid"], signal.SIGKILL)
        wait_for_end(known, seconds=seconds)
