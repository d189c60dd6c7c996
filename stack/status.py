"""How every process of a run is and what stands, for `manage.py status`.

Each is asked by itself, all at the same time and none for long: a process that is stopped answers
nothing, and the kernel says so; a server is asked for a login, a service for its /health.
"""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from contracts import services
from stack import children, health, rabbitmq
from stack.folders import Folder
from stack.services import processes_of

ASK_SECONDS = 3.0
"""Longer than a service takes to say that its own database does not answer (1.5 s)."""
_COLUMNS = ("process", "pid", "address", "health")
_WIDTH = 79
SUPERVISOR = "supervisor"
_NOTICED = "noticed.json"


@dataclass(frozen=True)
class Row:
    """One process: where it is, and in a word what is wrong with it, if anything."""

    process: str
    pid: int | None
    address: str
    health: str

    @property
    def is_healthy(self) -> bool:
        return self.health == "ok"


@dataclass(frozen=True)
class Standing:
    """What stands: whose it is, since when and what to do about it.

    `is_noticed`: `since` is when a status saw it first, and it may stand for longer.
    `level`: `unavailable` where sagas don't move for it, `attention` where only a person waits.
    """

    source: str
    what: str
    since: str | None
    do: str
    level: str = "unavailable"
    is_noticed: bool = False


@dataclass(frozen=True)
class Status:
    """All of it."""

    rows: list[Row]
    stands: list[Standing]

    @property
    def is_healthy(self) -> bool:
        return all(row.is_healthy for row in self.rows) and not any(
            one.level == "unavailable" for one in self.stands
        )


Pages = Mapping[str, tuple[int, dict[str, Any]]]


def read(record: dict[str, Any], folder: Folder) -> Status:
    """How it is now; takes at most some ASK_SECONDS, whatever stands still.

    `folder` keeps what was noticed: the kernel does not say since when a process is stopped.
    """
    known, urls = record["processes"], record["urls"]
    with ThreadPoolExecutor(3) as threads:
        asked = threads.submit(health.ask_all, urls, seconds=ASK_SECONDS)
        pings = {
            name: threads.submit(ping, record["environment"])
            for name, ping in _PINGS.items()
            if name in known and record["environment"]
        }
        pages = asked.result()
        refusals = {name: ping.result() for name, ping in pings.items()}
    found = [
        *_supervisor(record["supervisor"]),
        *(_server(name, one, refusals) for name, one in known.items() if "." not in name),
        *(_web(name, known.get(f"{name}.web"), urls[name], pages[name]) for name in urls),
        *(
            _worker(one.name, known.get(f"{one.name}.worker"), pages[one.name])
            for one in services.ALL
            if one.has_worker and one.name in urls
        ),
    ]
    stands = _noticed([one for _, own in found for one in own], folder)
    return Status(rows=_in_order(row for row, _ in found), stands=[*stands, *_told(pages)])


def _noticed(stands: list[Standing], folder: Folder) -> list[Standing]:
    before, now = folder.read(_NOTICED) or {}, datetime.now(UTC).isoformat()
    since = {f"{one.source}: {one.what}": now for one in stands}
    since |= {what: at for what, at in before.items() if what in since}
    if since != before:
        folder.write(_NOTICED, since)
    return [
        replace(one, since=since[f"{one.source}: {one.what}"], is_noticed=True) for one in stands
    ]


def as_table(record: dict[str, Any], status: Status) -> str:
    """For people."""
    table = [
        _COLUMNS,
        *((one.process, str(one.pid or "-"), one.address, one.health) for one in status.rows),
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
    return "\n".join([top, "", *lines, "", *_what_stands(status.stands)])


def as_json(record: dict[str, Any], status: Status) -> dict[str, Any]:
    """For scripts; without the secrets."""
    kept = ("ready", "urls", "also", "database", "broker", "logs")
    return {
        "supervisor": record["supervisor"]["pid"],
        **{name: record[name] for name in kept},
        "healthy": status.is_healthy,
        "processes": [asdict(one) for one in status.rows],
        "attention": [asdict(one) for one in status.stands],
    }


def _what_stands(stands: list[Standing]) -> Iterator[str]:
    if not stands:
        yield "Nothing stands."
        return
    yield "What stands, and what to do"
    for one in stands:
        mark = "" if one.level == "unavailable" else " (stops nobody)"
        yield from _wrapped(f"{one.source}{mark}: {one.what}", indent="  ")
        if one.since:
            yield f"      since {_age(one.since)}{' or before' if one.is_noticed else ''}"
        yield from _wrapped(f"-> {one.do}", indent="      ")


def _wrapped(text: str, *, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}   ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _age(since: str) -> str:
    at = datetime.fromisoformat(since)
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{at:%Y-%m-%d %H:%M:%S %Z} ({max(seconds, 0):.0f} s)"


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """The servers, then each service with its processes."""
    places = {name: place for place, one in enumerate(services.ALL) for name in processes_of(one)}
    return sorted(rows, key=lambda row: places.get(row.process, -1))


Found = tuple[Row, list[Standing]]


def _found(row: Row, what: str, do: str) -> Found:
    return row, [Standing(row.process, what, None, do)]


def _of_process(name: str, known: dict[str, int] | None, address: str) -> Found | Row:
    """A row to go on with, or all that there is to say of a process that doesn't run."""
    if known is None or not children.is_alive(known):
        row = Row(name, None, address, "not running")
        do = "`manage.py up` starts it again by itself; its log says why it ended"
        return _found(row, "it does not run", do)
    pid = known["pid"]
    stopped = [pid] if name == SUPERVISOR else children.family(pid)
    if any(children.is_stopped(one) for one in stopped):
        below = f"; pkill -CONT -P {pid}" if len(stopped) > 1 else ""
        return _found(
            Row(name, pid, address, "stopped"),
            f"process {pid}, or one below it, is stopped (SIGSTOP) and does nothing",
            f"continue it: kill -CONT {pid}{below}; or end it: kill -KILL {pid}",
        )
    return Row(name, pid, address, "ok")


def _supervisor(known: dict[str, int]) -> list[Found]:
    """Named only when it is stopped: its processes go on, but none is started again."""
    found = _of_process(SUPERVISOR, known, "")
    return [] if isinstance(found, Row) else [found]


def _server(name: str, known: dict[str, int] | None, refusals: Mapping[str, str | None]) -> Found:
    row = _of_process(name, known, "")
    if not isinstance(row, Row):
        return row
    refusal = refusals.get(name)
    if refusal is None:
        return row, []
    do = f"see its log; restart it: kill -TERM {row.pid}"
    return _found(Row(name, row.pid, "", "no answer"), f"it takes no login: {refusal}", do)


def _web(
    service: str, known: dict[str, int] | None, url: str, page: tuple[int, dict[str, Any]]
) -> Found:
    row = _of_process(f"{service}.web", known, url)
    if not isinstance(row, Row):
        return row
    status, body = page
    if status == 0:
        do = f"see its log; restart it: kill -KILL {row.pid} (it is started again)"
        found = Row(row.process, row.pid, url, "no answer")
        return _found(found, f"it does not answer within {ASK_SECONDS:g} s: {body['error']}", do)
    return Row(row.process, row.pid, url, "ok" if _has_database(body) else "no database"), []


def _worker(service: str, known: dict[str, int] | None, page: tuple[int, dict[str, Any]]) -> Found:
    """As its web process sees it in the table of heartbeats."""
    row = _of_process(f"{service}.worker", known, "")
    if not isinstance(row, Row):
        return row
    status, body = page
    if status == 0 or "workers" not in body:
        return Row(row.process, row.pid, "", "unknown"), []
    seen = {one["pid"]: one["status"] for one in body["workers"]}
    if row.pid in seen:
        return Row(row.process, row.pid, "", "ok" if seen[row.pid] == "up" else seen[row.pid]), []
    do = f"wait some seconds while it starts; then see its log, and kill -KILL {row.pid}"
    silent = Row(row.process, row.pid, "", "silent")
    return _found(silent, f"worker {row.pid} has given no sign of life yet", do)


def _has_database(body: dict[str, Any]) -> bool:
    return bool(body.get("database", {}).get("status") == "up")


def _told(pages: Pages) -> Iterator[Standing]:
    """What the services tell themselves."""
    for service, (status, body) in pages.items():
        for one in body.get("attention", []) if status else []:
            yield Standing(service, one["what"], one["since"], one["do"], one["level"])


def _ping_postgres(environment: Mapping[str, str]) -> str | None:
    try:
        psycopg.connect(environment["DATABASE_URL"], connect_timeout=int(ASK_SECONDS)).close()
    except psycopg.Error as error:
        return str(error).strip().partition("\n")[0]
    return None


def _ping_rabbitmq(environment: Mapping[str, str]) -> str | None:
    try:
        rabbitmq.check_login(environment["RABBITMQ_URL"], timeout=ASK_SECONDS)
    except OSError as error:
        return str(error)
    return None


_PINGS: dict[str, Callable[[Mapping[str, str]], str | None]] = {
    "postgres": _ping_postgres,
    "rabbitmq": _ping_rabbitmq,
}
