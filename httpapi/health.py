"""Whether this service can do its work: its database, its worker, its broker, its outbox."""

import time
from typing import Any

import msgspec
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connections
from django.http import HttpRequest, HttpResponse

from httpapi.json import answer
from httpapi.middleware import served

WORKER_SILENT_SECONDS = 5
MOST_NAMED = 10
"""Sagas and messages that wait for a person are counted; the first of them are named."""


def live(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all."""
    return answer({"status": "ok", "service": _service()})


def ready(request: HttpRequest) -> HttpResponse:
    """200 once requests can be served: the database answers."""
    database = _database()
    is_up = database["status"] == "up"
    return answer(
        {"status": "ok" if is_up else "unavailable", "service": _service(), "database": database},
        status=200 if is_up else 503,
    )


def health(request: HttpRequest) -> HttpResponse:
    """200, or 503 when something that the service needs is down; each dependency by name.

    What waits for a person (`parked_sagas`, `parked_messages`) makes no service unhealthy.
    """
    dependencies = {"database": _database()}
    if _has_worker() and dependencies["database"]["status"] == "up":
        dependencies |= _worker_and_what_it_sees()
    is_up = all(one["status"] == "up" for one in dependencies.values())
    return answer(
        {
            "status": "ok" if is_up else "unavailable",
            "service": _service(),
            **dependencies,
            **(_waiting_for_a_person() if dependencies["database"]["status"] == "up" else {}),
            "requests": served(),
        },
        status=200 if is_up else 503,
    )


def _service() -> str:
    return settings.SERVICE or "dueto"


def _alias() -> str:
    return settings.SERVICE if settings.SERVICE in connections.databases else "default"


def _has_worker() -> bool:
    return bool(settings.SERVICE) and any(
        one.label == settings.SERVICE and hasattr(one, "worker_parts")
        for one in apps.get_app_configs()
    )


def _database() -> dict[str, Any]:
    started = time.monotonic()
    try:
        with connections[_alias()].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return {"status": "down", "error": str(error).strip()}
    return {"status": "up", "milliseconds": round((time.monotonic() - started) * 1000, 1)}


def _worker_and_what_it_sees() -> dict[str, dict[str, Any]]:
    with connections[_alias()].cursor() as cursor:
        cursor.execute(
            f"""
            SELECT pid, extract(epoch FROM clock_timestamp() - seen_at)::float, counters::text
            FROM {settings.SERVICE}_workerheartbeat ORDER BY seen_at DESC LIMIT 1
            """
        )
        beat = cursor.fetchone()
    if beat is None:
        return {"worker": {"status": "down", "error": "no worker of this service has run yet"}}
    pid, silent, counters = beat[0], beat[1], msgspec.json.decode(beat[2])
    seen = {"worker": _worker(pid, silent, counters)}
    if "broker_up" in counters:
        seen["broker"] = {"status": "up" if counters["broker_up"] else "down"}
    if _has("OutboxEntry"):
        seen["outbox"] = _outbox()
    return seen


def _worker(pid: int, silent: float, counters: dict[str, int]) -> dict[str, Any]:
    found = {"pid": pid, "last_seen_seconds": round(silent, 1), "counters": counters}
    if silent <= WORKER_SILENT_SECONDS:
        return {"status": "up", **found}
    return {"status": "down", **found, "error": f"silent for {silent:.0f} s: start it again"}


def _has(model: str) -> bool:
    models = apps.get_app_config(settings.SERVICE).get_models()
    return any(one.__name__ == model for one in models)


def _waiting_for_a_person() -> dict[str, dict[str, Any]]:
    if not _has_worker():
        return {}
    found = {}
    coordinator = apps.get_app_config(settings.SERVICE)
    if hasattr(coordinator, "parked_sagas"):
        count, oldest = coordinator.parked_sagas(limit=MOST_NAMED)
        found["parked_sagas"] = {"count": count, "oldest": oldest}
    if _has("ParkedMessage"):
        found["parked_messages"] = _parked_messages()
    return found


def _parked_messages() -> dict[str, Any]:
    with connections[_alias()].cursor() as cursor:
        cursor.execute(
            f"""
            SELECT id, event_type, saga_id, reason, parked_at, count(*) OVER ()
            FROM {settings.SERVICE}_parkedmessage WHERE status = 'parked'
            ORDER BY parked_at LIMIT %s
            """,
            [MOST_NAMED],
        )
        rows = cursor.fetchall()
    names = ("id", "event_type", "saga_id", "reason", "since")
    oldest = [dict(zip(names, row[:-1], strict=True)) for row in rows]
    return {"count": rows[0][-1] if rows else 0, "oldest": oldest}


def _outbox() -> dict[str, Any]:
    """Not a dependency that can be down by itself: what waits is the broker's or the worker's."""
    with connections[_alias()].cursor() as cursor:
        cursor.execute(
            f"""
            SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float
            FROM {settings.SERVICE}_outboxentry WHERE sent_at IS NULL
            """
        )
        unsent, oldest = cursor.fetchone()
    return {"status": "up", "unsent": unsent, "oldest_unsent_seconds": round(oldest, 1)}
