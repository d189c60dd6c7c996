"""How every process of a run is, for `manage.py status`."""

from dataclasses import asdict, dataclass
from typing import Any

from stack import health, identity
from stack.services import SERVICES

_COLUMNS = ("process", "pid", "address", "health")


@dataclass(frozen=True)
class Row:
    """One process: where it is, and what is wrong with it, if anything."""

    process: str
    pid: int | None
    address: str
    health: str

    @property
    def is_healthy(self) -> bool:
        return self.health == "ok"


def rows(record: dict[str, Any]) -> list[Row]:
    """A row for every process that the run should have, running or not."""
    known = record["processes"]
    found = [
        _row(name, known.get(name), address="")
        for name in known
        if "." not in name  # postgres, rabbitmq, epmd
    ]
    for service in SERVICES:
        if url := record["urls"].get(service.name):
            found += [_of_service(name, known.get(name), url) for name in service.processes]
    return found


def as_table(record: dict[str, Any], found: list[Row]) -> str:
    """For people."""
    table = [
        _COLUMNS,
        *((one.process, str(one.pid or "-"), one.address, one.health) for one in found),
    ]
    widths = [max(len(line[place]) for line in table) for place in range(len(_COLUMNS) - 1)]
    lines = [
        "  ".join(
            [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]
        )
        for line in table
    ]
    state = "up" if record["ready"] else "starting"
    servers = f"{record['database']}, {record['broker']}"
    top = f"{state} (process {record['supervisor']['pid']}) on {servers}"
    return "\n".join([top, "", *lines])


def as_json(record: dict[str, Any], found: list[Row]) -> dict[str, Any]:
    """For scripts; without the secrets."""
    kept = ("ready", "urls", "database", "broker", "logs")
    return {
        "supervisor": record["supervisor"]["pid"],
        **{name: record[name] for name in kept},
        "healthy": all(one.is_healthy for one in found),
        "processes": [asdict(one) for one in found],
    }


def _row(name: str, known: dict[str, int] | None, *, address: str) -> Row:
    is_alive = identity.is_alive(known)
    pid = known["pid"] if known and is_alive else None
    return Row(process=name, pid=pid, address=address, health="ok" if is_alive else "not running")


def _of_service(name: str, known: dict[str, int] | None, url: str) -> Row:
    """A web process is asked itself; a worker is as its web process last saw it."""
    is_web = name.endswith(".web")
    row = _row(name, known, address=url if is_web else "")
    if not row.is_healthy:
        return row
    worker_pid = None if is_web else row.pid
    path = "/health/ready" if is_web else "/health"
    complaint = health.complaint_about(url, path, worker_pid=worker_pid)
    return Row(row.process, row.pid, row.address, complaint or "ok")
