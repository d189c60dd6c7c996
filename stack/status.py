"""The health of the services, seen from outside: while they start, and for `manage.py status`.

For the latter all processes are checked at the same time, with a short timeout: the kernel shows
whether a process is stopped, servers get a login, services a GET /health.
"""

import json
import textwrap
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import psycopg
import urllib3

from accounts import passes
from accounts.passes import Passes
from catalogue.services import BY_NAME
from contracts.doors import OPS_READ
from contracts.nearness import each_host
from stack import children, rabbitmq, replicas
from stack.folders import MANAGE, STATE_FOLDER, Folder

OK = 200
ASK_SECONDS = 3.0
"""Longer than a service takes to report that its own database does not answer (1.5 s)."""
STARTING_SECONDS = 5.0
PARTS = ("database", "worker", "broker")
"""What a service needs to start, as named on its health page."""
SUPERVISOR = "supervisor"
OPERATOR = "stack"
"""The person in our tokens."""
_COLUMNS = ("process", "pid", "address", "health")
_WIDTH = 79
_NOTICED = "noticed.json"

Page = tuple[int, dict[str, Any]]
"""Status and body of a health page; status 0 and the error without an answer."""


def ask(
    url: str, path: str, *, passes: Passes | None = None, seconds: float = STARTING_SECONDS
) -> Page:
    """A health page, with a timeout."""
    own = passes.person(OPERATOR, OPS_READ) if passes else {}
    headers = {"Connection": "close", **own}
    try:
        answer = urllib3.request("GET", url + path, headers=headers, timeout=seconds, retries=False)
        return answer.status, msgspec.json.decode(answer.data, type=dict[str, Any])
    except (urllib3.exceptions.HTTPError, msgspec.DecodeError) as error:
        return 0, {"error": str(error)}


def complaint(
    url: str, *, worker_pids: Collection[int] = (), passes: Passes | None = None
) -> str | None:
    """Why a service is not ready yet; None if it and its workers are.

    Stalled sagas are no reason: they may be older than this run, and may need it to continue.
    """
    status, body = ask(url, "/health/ready")
    if status != OK:
        return _answered("/health/ready", status, body)
    status, body = ask(url, "/health", passes=passes)
    down = [name for name in PARTS if body.get(name, {}).get("status", "up") != "up"]
    if status == 0 or down or "database" not in body:
        return _answered("/health", status, body)
    # For some seconds after a crash the last heartbeat of the previous worker still looks fresh.
    alive = {worker["pid"] for worker in body.get("workers", []) if worker["status"] == "up"}
    for pid in worker_pids:
        if pid not in alive:
            return f"its worker {pid} has sent no heartbeat yet"
    return None


def _answered(path: str, status: int, body: dict[str, Any]) -> str:
    if status == 0:
        return str(body["error"])
    reasons = [note["what"] for note in body.get("attention", []) if note["level"] == "unavailable"]
    return f"GET {path} answers {status}: {'; '.join(reasons) or json.dumps(body)[:400]}"


@dataclass(frozen=True)
class ProcessRow:
    """A process: its pid, address, and health (`ok`, or what is wrong in a word)."""

    process: str
    pid: int | None
    address: str
    health: str

    @property
    def is_healthy(self) -> bool:
        return self.health == "ok"


@dataclass(frozen=True)
class AttentionRow:
    """A problem: its source, since when, and what to do about it.

    `is_noticed`: `since` is when a `status` first saw it; it may be older. `level`: `unavailable`
    if it stalls sagas, `attention` if it only needs a person.
    """

    source: str
    what: str
    since: str | None
    do: str
    level: str = "unavailable"
    is_noticed: bool = False


@dataclass(frozen=True)
class Status:
    rows: list[ProcessRow]
    attention: list[AttentionRow]

    @property
    def is_healthy(self) -> bool:
        return all(row.is_healthy for row in self.rows) and not any(
            note.level == "unavailable" for note in self.attention
        )


def read(record: dict[str, Any], folder: Folder) -> Status:
    """The current status; takes little more than ASK_SECONDS, even if processes hang.

    `folder`: records since when a process is stopped, which the kernel does not tell.
    """
    known, urls, environment = record["processes"], record["urls"], record["environment"]
    servers = [name for name in known if "." not in name]
    asked = {**urls, **record["replicas"]}
    with ThreadPoolExecutor(len(asked) + len(servers)) as threads:
        refusals = threads.map(partial(_refusal, environment=environment), servers)
        known_passes = passes.of(environment)
        asking = partial(ask, path="/health", passes=known_passes, seconds=ASK_SECONDS)
        pages = dict(zip(asked, threads.map(asking, asked.values()), strict=True))
    looks = [
        _process(SUPERVISOR, record["supervisor"]),
        *map(_server, servers, map(known.get, servers), refusals),
    ]
    for service in (BY_NAME[name] for name in urls):
        page = pages[service.name]
        for name in record["names"][service.name]:
            if replicas.kind_of(name)[1] == replicas.WORKER:
                looks.append(_worker(name, known.get(name), page))
            else:
                place = name if name in record["replicas"] else service.name
                looks.append(_web(name, known.get(name), asked[place], pages[place]))
    notes = _noticed([note for _, own in looks for note in own], folder)
    # The supervisor is shown only if it is stopped: then crashed processes are not restarted.
    rows = [row for row, _ in looks if row.process != SUPERVISOR or not row.is_healthy]
    reported = _reported({service: pages[service] for service in urls})
    return Status(rows=rows, attention=[*notes, *reported])


def _noticed(notes: list[AttentionRow], folder: Folder) -> list[AttentionRow]:
    before, now = folder.read(_NOTICED) or {}, datetime.now(UTC).isoformat()
    since = {f"{note.source}: {note.what}": now for note in notes}
    since |= {what: at for what, at in before.items() if what in since}
    if since != before:
        folder.write(_NOTICED, since)
    return [
        replace(note, since=since[f"{note.source}: {note.what}"], is_noticed=True) for note in notes
    ]


def as_table(record: dict[str, Any], status: Status) -> str:
    """For people."""
    rows = [(row.process, str(row.pid or "-"), row.address, row.health) for row in status.rows]
    table = [_COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
    state = "up" if record["ready"] else "starting"
    servers = f"{record['database']}, {record['broker']}"
    top = f"{state} (process {record['supervisor']['pid']}) on {servers}"
    login = admin_login(record)
    return "\n".join(
        [top, "", *lines, "", *who_gets_in(record), *login, *_needs_attention(status.attention)]
    )


def as_json(record: dict[str, Any], status: Status) -> dict[str, Any]:
    """For scripts; without secrets."""
    kept = ("ready", "urls", "replicas", "also", "database", "broker", "logs", "access")
    return {
        "supervisor": record["supervisor"]["pid"],
        **{name: record[name] for name in kept},
        "healthy": status.is_healthy,
        "processes": [asdict(row) for row in status.rows],
        "attention": [asdict(note) for note in status.attention],
    }


def _needs_attention(notes: list[AttentionRow]) -> Iterator[str]:
    if not notes:
        yield "Nothing needs attention."
        return
    yield "Needs attention"
    for note in notes:
        mark = "" if note.level == "unavailable" else " (waits for a person; nothing else stalls)"
        yield from _wrapped(f"{note.source}{mark}: {note.what}", indent="  ")
        if note.since:
            yield f"      since {_age(note.since)}{' or before' if note.is_noticed else ''}"
        yield from _wrapped(f"-> {note.do}", indent="      ")


def admin_login(record: dict[str, Any]) -> list[str]:
    """How to log in to the admin, as lines; empty for a run without it."""
    admin, url = record["admin"], record["urls"].get("dashboard")
    if not admin or not url:
        return []
    return [f"Admin: {url}/admin/ as {admin['user']}, password {admin['password']}", ""]


def who_gets_in(record: dict[str, Any]) -> list[str]:
    """Whether it has authentication, and how to get a token, as lines."""
    found = record["access"]
    if not found["asks"]:
        lines = [
            "Mode demo: no authentication. Every user of this machine has access, no other machine"
            " does. `make up AUTH=required` turns authentication on."
        ]
    else:
        why = f" (because of {', '.join(found['why'])})" if found["why"] else ""
        folder = "" if found["keys"] == str(STATE_FOLDER / "keys") else f" --folder {found['keys']}"
        lines = [
            f"Mode required{why}: each door needs a token. To get one:",
            f'  eval "$({MANAGE} token --env --user ana{folder})"',
            '  curl -H "Authorization: Bearer $TOKEN" ...   (--scope for more than shopping)',
        ]
    return [part for line in lines for part in _wrapped(line, indent="")] + [""]


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


Look = tuple[ProcessRow, list[AttentionRow]]


def _ill(row: ProcessRow, health: str, what: str, do: str) -> Look:
    return replace(row, health=health), [AttentionRow(row.process, what, None, do)]


def _process(name: str, known: dict[str, int] | None, address: str = "") -> Look:
    """Its state in the kernel."""
    if known is None or not children.is_alive(known):
        do = "`manage.py up` restarts it by itself; its log says why it ended"
        return _ill(ProcessRow(name, None, address, ""), "not running", "it is not running", do)
    pid = known["pid"]
    row = ProcessRow(name, pid, address, "ok")
    family = [pid] if name == SUPERVISOR else children.family(pid)
    if not any(children.is_stopped(member) for member in family):
        return row, []
    below = f"; pkill -CONT -P {pid}" if len(family) > 1 else ""
    what = f"process {pid}, or a child of it, is stopped (SIGSTOP)"
    do = f"continue it: kill -CONT {pid}{below}; or end it: kill -KILL {pid}"
    return _ill(row, "stopped", what, do)


def _server(name: str, known: dict[str, int] | None, refusal: str | None) -> Look:
    row, notes = _process(name, known)
    if notes or refusal is None:
        return row, notes
    do = f"see its log; restart it: kill -TERM {row.pid}"
    return _ill(row, "no answer", f"it accepts no login: {refusal}", do)


def _web(name: str, known: dict[str, int] | None, url: str, page: Page) -> Look:
    row, notes = _process(name, known, url)
    if notes:
        return row, notes
    status, body = page
    if status == 0:
        what = f"it does not answer within {ASK_SECONDS:g} s: {body['error']}"
        do = f"see its log; restart it: kill -KILL {row.pid} (it is restarted)"
        return _ill(row, "no answer", what, do)
    has_database = body.get("database", {}).get("status") == "up"
    return (row if has_database else replace(row, health="no database")), []


def _worker(name: str, known: dict[str, int] | None, page: Page) -> Look:
    """Its heartbeat, from the health page of its web process."""
    row, notes = _process(name, known)
    if notes:
        return row, notes
    status, body = page
    if status == 0 or "workers" not in body:
        return replace(row, health="unknown"), []
    seen = {worker["pid"]: worker["status"] for worker in body["workers"]}
    if row.pid in seen:
        return replace(row, health="ok" if seen[row.pid] == "up" else seen[row.pid]), []
    what = f"worker {row.pid} has sent no heartbeat yet"
    do = f"wait some seconds while it starts; then see its log, and kill -KILL {row.pid}"
    return _ill(row, "silent", what, do)


def _reported(pages: Mapping[str, Page]) -> Iterator[AttentionRow]:
    """What the services report themselves."""
    for service, (status, body) in pages.items():
        for note in body.get("attention", []) if status else []:
            yield AttentionRow(service, note["what"], note["since"], note["do"], note["level"])


def _refusal(server: str, environment: Mapping[str, str]) -> str | None:
    """Why a server accepts no login; None if it does, has none, or is not known yet."""
    try:
        if server.startswith("postgres") and environment:
            url = environment["DATABASE_URL"]
            psycopg.connect(url, connect_timeout=int(ASK_SECONDS)).close()
        if server.startswith("rabbitmq") and environment:
            hosts = each_host(environment["RABBITMQ_URL"])
            number = server.partition("-")[2] or "1"
            rabbitmq.check_login(hosts[int(number) - 1], timeout=ASK_SECONDS)
    except (psycopg.Error, OSError) as error:
        return str(error).strip().partition("\n")[0]
    return None
