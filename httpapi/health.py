"""The health of this service: its database, workers, broker and outbox, and whether its sagas move.

A query to a paused server, or over a network that drops packets, may never return. So one thread of
the process makes these queries, with a connection of its own; requests wait for its answer for a
limited time, all of them for the same answer.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver, path

from contracts.bounds import Time, words
from contracts.doors import OPS_READ, PUBLIC, door
from contracts.states import Complaint
from httpapi import authentication, identity, standing, waiting
from httpapi.json import answer
from httpapi.middleware import served
from httpapi.standing import Findings, Noted
from participant import sql, stale_connections, starting

log = logging.getLogger(__name__)
T = TypeVar("T")


class SingleFlight:
    """One thread that answers questions one after the other; no question is asked twice at once."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._under_way: dict[Callable[[], Any], Future[Any]] = {}
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def ask(self, *, question: Callable[[], T], seconds: float) -> T:
        """The answer, or that of the same question under way. Raises TimeoutError, and the errors
        of the question.
        """
        with self._lock:
            answer = self._under_way.get(question)
            if answer is None or answer.done():
                answer = self._under_way[question] = Future()
                self._asked.put((question, answer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return answer.result(seconds)

    def _run(self) -> None:
        while True:
            question, answer = self._asked.get()
            try:
                answer.set_result(question())
            except Exception as error:  # noqa: BLE001 -- raised again where it was asked
                answer.set_exception(error)


LOOK_SECONDS = 1.5
"""A check takes some milliseconds; one that takes longer counts as a failure."""
LOCK_MILLISECONDS, STATEMENT_MILLISECONDS = 100, 500
RENEW_SECONDS = 10.0
"""The check's connection is not kept longer, so that problems of new connections are found."""

looks = SingleFlight(name="health")
_noted = Noted()
_connected_at = 0.0


class Attention(TypedDict):
    """A problem, since when, and what to do."""

    what: str
    since: Time
    do: str
    level: Annotated[str, words(("unavailable", "attention"))]


class Alive(TypedDict):
    """The process answers."""

    status: Annotated[str, words(("ok",))]
    service: str


class Health(TypedDict):
    """A service's health; also each of its dependencies, by name. The optional fields are for
    services and for people with ops:read. `insecure`: insecure settings that were allowed
    explicitly.
    """

    status: Annotated[str, words(("ok", "unavailable"))]
    service: str
    attention: NotRequired[list[Attention]]
    database: NotRequired[dict[str, Any]]
    requests: NotRequired[int]
    tokens_verified: NotRequired[int]
    insecure: NotRequired[list[str]]


class About(TypedDict):
    """A service in a sentence, and its paths. `docs`: the path of its documents."""

    service: str
    offers: list[str]
    health: str
    docs: str


_Health = door(PUBLIC, gives={200: Health, 503: Health})


@door(PUBLIC, gives={200: Alive})
def live(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all."""
    return answer({"status": "ok", "service": _service()})


@_Health
def ready(request: HttpRequest) -> HttpResponse:
    """200 once requests can be served: the database answers, and takes writes. 503 also once this
    process was told to stop: it still serves for a while, but should get no new requests.
    """
    found = _ask(_readiness)
    if waiting.places.is_closed.is_set():
        found.fields["process"] = {"status": "stopping"}
    return _told(request, found)


@_Health
def health(request: HttpRequest) -> HttpResponse:
    """200, or 503 while something keeps sagas from moving; each dependency by name.

    People with ops:read and services see the details, too: `attention` lists all problems, since
    when, and what to do. Problems that only wait for an operator (`level` attention: parked sagas,
    dead letters) do not make a service unhealthy.
    """
    return _told(
        request,
        _ask(_everything),
        requests=served(),
        tokens_verified=authentication.verified,
    )


@door(PUBLIC, gives={200: About})
def about(request: HttpRequest) -> HttpResponse:
    """This service in a sentence, and its paths."""
    service = _service()
    text = import_module(service).__doc__ or ""
    config = app()
    beside = config.urls() if config and hasattr(config, "urls") else []
    urls = [*beside, *get_resolver(f"{service}.urls").url_patterns]
    paths = sorted({str(pattern.pattern) for pattern in urls})
    return answer(
        {
            "service": service,
            "is": text.partition("\n")[0].partition(": ")[2] or service,
            "offers": [f"/{path}" for path in paths],
            "health": "/health",
            "docs": "/docs",
        }
    )


def _told(request: HttpRequest, found: Findings, **more: Any) -> HttpResponse:
    dependencies = [field for field in found.fields.values() if isinstance(field, dict)]
    is_up = not found.stands and all(
        dependency.get("status", "up") == "up" for dependency in dependencies
    )
    details = (
        {
            **found.fields,
            "attention": [
                *(_as_json(stand, "unavailable") for stand in found.stands),
                *(_as_json(wait, "attention") for wait in found.waits),
            ],
            **more,
        }
        if _may_see_details(request)
        else _statuses(found)
    )
    body = {"status": "ok" if is_up else "unavailable", "service": _service(), **details}
    return answer({**body, **starting.exceptions()}, status=200 if is_up else 503)


def _may_see_details(request: HttpRequest) -> bool:
    who = identity.of(request)
    return bool(who.service) or OPS_READ in who.scopes


def _statuses(found: Findings) -> dict[str, dict[str, str]]:
    """The statuses, which any caller may see."""
    return {
        name: {"status": field["status"]}
        for name, field in found.fields.items()
        if isinstance(field, dict) and "status" in field
    }


def _as_json(complaint: Complaint, level: str) -> dict[str, Any]:
    return {"what": complaint.what, "since": complaint.since, "do": complaint.do, "level": level}


def _service() -> str:
    return settings.SERVICE or "dueto"


def alias() -> str:
    return settings.SERVICE if settings.SERVICE in connections.databases else "default"


def app() -> AppConfig | None:
    """The service's app, if it has a worker."""
    found = [config for config in apps.get_app_configs() if config.label == settings.SERVICE]
    return found[0] if found and hasattr(found[0], "worker_components") else None


def _ask(question: Callable[[], Findings]) -> Findings:
    try:
        return looks.ask(question=question, seconds=LOOK_SECONDS)
    except TimeoutError:
        error = f"no answer within {LOOK_SECONDS:g} s"
        return _away({"status": "down", "error": error})


def _readiness() -> Findings:
    found = database()
    if not found.stands:
        _noted.forget(what=_what_is_away())
    connections[alias()].close_if_unusable_or_obsolete()
    return found


def _everything() -> Findings:
    found = database()
    if not found.stands:
        for look in _looks_of(app()):
            found.add(_bounded(look))
    _noted.keep(only=[stand.what for stand in found.stands + found.waits])
    connections[alias()].close_if_unusable_or_obsolete()
    return found


def _looks_of(app: AppConfig | None) -> Iterator[Callable[[], Findings]]:
    if app is None:
        return
    service = app.label
    models = {model.__name__ for model in app.get_models()}
    yield partial(standing.workers, service=service, noted=_noted)
    if "OutboxEntry" in models:
        yield partial(standing.outbox, service=service)
    if "FailedMessage" in models:
        yield partial(standing.parked_messages, service=service)
    if "Decision" in models:
        yield partial(standing.decisions, service=service)
    if "Pause" in models:
        yield partial(standing.pauses, service=service)
    if hasattr(app, "parked_sagas"):
        yield partial(standing.parked_sagas, service=service, look=app.parked_sagas)
    if hasattr(app, "stalls"):
        yield lambda: Findings(stands=app.stalls(limit=standing.MOST_NAMED))
    yield partial(standing.open_transactions, service=service)


def _bounded(look: Callable[[], Findings]) -> Findings:
    """Runs a check; a table that can't be read is a problem, too, and other checks go on."""
    try:
        return look()
    except (DatabaseError, InterfaceError) as error:
        if sql.spends_connection(error):
            connections[alias()].close()
        log.warning("a table can't be read: %s", error)
        what = f"a table of {_service()} can't be read: {_in_short(error)}"
        do = "release the lock on it (of a migration, or of an open session), or restore the right"
        return Findings(stands=[Complaint(what=what, since=_noted.since(what=what), do=do)])


def database() -> Findings:
    """Asks twice before it is down: a kept connection may be from before a failover."""
    started = time.monotonic()
    if started - _connected_at > RENEW_SECONDS:
        connections[alias()].close()
    state = _state() and _state()
    if state:
        return _away(state)
    milliseconds = round((time.monotonic() - started) * 1000, 1)
    return Findings(fields={"database": {"status": "up", "milliseconds": milliseconds}})


def _state() -> dict[str, Any] | None:
    """None if the database takes writes; else the problem, after closing the connection."""
    global _connected_at
    connection = connections[alias()]
    try:
        if connection.connection is None:
            _connected_at = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT current_setting('transaction_read_only')::bool, pg_is_in_recovery(),
                       set_config('lock_timeout', %s, false),
                       set_config('statement_timeout', %s, false)
                """,
                [str(LOCK_MILLISECONDS), str(STATEMENT_MILLISECONDS)],
            )
            is_read_only, is_standby, *_ = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        log.warning("the database is down: %s", error)
        return {"status": "down", "error": _in_short(error)}
    if not (is_read_only or is_standby):
        return None
    connection.close()
    stale_connections.mark_read_only()  # or loops that only read would read old data without error
    return {"status": "read-only", "error": "a standby" if is_standby else "it takes no writes"}


def _away(state: dict[str, Any]) -> Findings:
    if state["status"] == "read-only":
        do = "make it writable, or point the service to the primary; it goes on by itself then"
    else:
        do = "start or continue it, or fix the connection; the service goes on by itself then"
    what = f"{_what_is_away()} is {state['status']}: {state['error']}"
    complaint = Complaint(what=what, since=_noted.since(what=_what_is_away()), do=do)
    return Findings(fields={"database": state}, stands=[complaint])


def _what_is_away() -> str:
    return f"the database of {_service()}"


def _in_short(error: Exception) -> str:
    """The error for any caller; the database's text, with hosts, users and paths, is in the log."""
    state = sql.sqlstate(error)
    return f"it refuses (SQLSTATE {state}): see the log" if state else "no answer: see the log"


urlpatterns = [
    path("health", health),
    path("health/live", live),
    path("health/ready", ready),
    # Other paths that users of the services have.
    path("api/v1/health", health),
    path("saga/health", health),
]
"""The paths of every service."""
