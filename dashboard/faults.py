"""Faults on purpose, for teaching: stops a service for some seconds, or kills a worker.

Only processes of the local stack that started this one, as its record names them, and only for
requests from this machine. Without a record nothing is offered.
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
"""Names the file in which the local stack records its processes (stack.record)."""
STOP_SECONDS = 10.0
_START_TIME_FIELD = 19  # of /proc/<pid>/stat, counted after the command's closing parenthesis


def is_allowed(request: HttpRequest) -> bool:
    """Whether this process is of a local stack, and a superuser asks from this machine."""
    address = ip_address(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104 -- is no loopback
    is_direct = address.is_loopback and "HTTP_X_FORWARDED_FOR" not in request.META
    return bool(_record()) and is_direct and bool(getattr(request.user, "is_superuser", False))


def services() -> list[str]:
    """The services whose workers run here."""
    parts = [name.split(".") for name in _record()]
    return sorted({name[0] for name in parts if name[1:2] == ["worker"]})


def stop(service: str) -> bool:
    """Stops a service's processes for STOP_SECONDS; False if it has none."""
    names = [*_of(service, "web"), *_of(service, "worker")]
    stopped = [name for name in names if _signal(name, signal.SIGSTOP)]
    for name in stopped:
        timer = threading.Timer(STOP_SECONDS, _signal, args=[name, signal.SIGCONT])
        timer.daemon = True
        timer.start()
    return bool(stopped)


def kill(service: str) -> bool:
    """Kills a worker of the service, which the stack starts again; False if it has none."""
    return any(_signal(name, signal.SIGKILL) for name in _of(service, "worker"))


def _of(service: str, kind: str) -> list[str]:
    """The names of a service's processes of this kind: one, or several replicas."""
    return [name for name in _record() if name.split(".")[:2] == [service, kind]]


def _signal(name: str, number: int) -> bool:
    """Signals a process and its children, if it is the process that the record names."""
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
    """The processes by name; empty without a local stack."""
    try:
        found = json.loads(Path(os.environ[RECORD]).read_bytes())
    except (KeyError, OSError, ValueError):
        return {}
    processes: dict[str, dict[str, Any]] = found.get("processes", {})
    return processes
