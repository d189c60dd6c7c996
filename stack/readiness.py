"""Waits until every service says that it is healthy."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from contracts.services import Service
from stack import health
from stack.errors import StackError
from stack.processes import Supervisor
from stack.services import processes_of

_PAUSE = 0.1


def wait_until_ready(
    *,
    services: Sequence[Service],
    urls: Mapping[str, str],
    supervisor: Supervisor,
    logs: Path,
    seconds: float,
) -> None:
    """Returns when all are. Raises StackError at once when a process has ended for good, and when
    the time is over, with what the services still said."""
    deadline = time.monotonic() + seconds
    waiting = list(services)
    while waiting:
        supervisor.check()
        said = {one.name: _complaint(one, urls[one.name], supervisor) for one in waiting}
        waiting = [one for one in waiting if said[one.name]]
        if waiting and time.monotonic() > deadline:
            lines = [f"  {one.name}: {said[one.name]}" for one in waiting]
            raise StackError(
                f"not ready after {seconds:g} s:\n" + "\n".join(lines) + f"\nTheir logs: {logs}"
            )
        if waiting:
            time.sleep(_PAUSE)


def _complaint(service: Service, url: str, supervisor: Supervisor) -> str | None:
    pids = supervisor.pids()
    missing = [name for name in processes_of(service) if name not in pids]
    if missing:
        return f"{missing[0]} does not run"
    return health.complaint(url, worker_pid=pids.get(f"{service.name}.worker"))
