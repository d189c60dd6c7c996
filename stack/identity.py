"""Which process is meant: a number alone may belong to somebody else by now."""

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import Any

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
        handle = os.pidfd_open(known["pid"])
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
