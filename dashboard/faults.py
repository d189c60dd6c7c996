"""Faults on purpose, for who teaches: a service is stopped for some seconds, a worker killed.

Only processes of the local stack that has started this one, as its record names them, and only for
who sits at this machine: elsewhere there is no record, and nothing is offered.
"""

import json
import os
import signal
import threading
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from django.http import HttpRequest

RECORD = "DUETO_RUN_RECORD"
"""Names the file in which the local stack keeps which process is whose (stack.record)."""
STOP_SECONDS = 10.0
_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing parenthesis


def is_allowed(request: HttpRequest) -> bool:
    """Whether this process is of a local stack, and a superuser asks from this machine itself."""
    address = ip_address(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104 -- is no loopback
    is_direct = address.is_loopback and "HTTP_X_FORWARDED_FOR" not in request.META
    return bool(_record()) and is_direct and bool(getattr(request.user, "is_superuser", False))


def services() -> list[str]:
    """Those of which a worker runs here."""
    parts = [name.split(".") for name in _record()]
    return sorted({name[0] for name in parts if name[1:2] == ["worker"]})


def stop(service: str) -> bool:
    """Stops its processes, which go on by themselves; whether there are any."""
    names = [*_of(service, "web"), *_of(service, "worker")]
    stopped = [name for name in names if _signal(name, signal.SIGSTOP)]
    for name in stopped:
        timer = threading.Timer(STOP_SECONDS, _signal, args=[name, signal.SIGCONT])
        timer.daemon = True
        timer.start()
    return bool(stopped)


def kill(service: str) -> bool:
    """Kills its worker, or one of several, which the stack starts again; whether there was one."""
    return any(_signal(name, signal.SIGKILL) for name in _of(service, "worker"))


def _of(service: str, kind: str) -> list[str]:
    """The names of its processes of a kind: one, or several replicas."""
    return [name for name in _record() if name.split(".")[:2] == [service, kind]]


def _signal(name: str, number: int) -> bool:
    """To a process and those below it, if it is the very one that the record has."""
    known = _record().get(name)
    if known is None or _started(known["pid"]) != known["started"]:
        return False
    with suppress(ProcessLookupError):
        os.killpg(known["pid"], number)
    return True


def _started(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[_START_TIME_FIELD])


def _record() -> dict[str, dict[str, Any]]:
    """The processes by name; none where there is no local stack."""
    try:
        found = json.loads(Path(os.environ[RECORD]).read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    processes: dict[str, dict[str, Any]] = found.get("processes", {})
    return processes
