"""How the services are: what each says in /health, asked all at once, and what its queue holds."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import urllib3
from django.conf import settings

from catalogue.services import WITH_WORKER
from httpapi.standing import Noted
from messaging.brokers import Broker, BrokerUnavailable, connect
from messaging.consumer import queue_of

ASK_SECONDS = 2.5
"""Longer than a service takes to say that its own database does not answer (1.5 s)."""
_noted = Noted()
"""Since when a service does not answer: it can't tell that itself."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """A service, as it says itself. `queued`: messages; None where the broker does not answer."""

    service: str
    status: str
    workers: list[dict[str, Any]]
    unsent: int | None
    oldest_unsent: float
    parked: int
    breakers_open: int
    waiting: int
    attention: list[dict[str, Any]]
    queued: int | None = None


def health(*, urls: Mapping[str, str]) -> list[Health]:
    """Each of them; one that says nothing is named so."""
    with ThreadPoolExecutor(len(urls)) as threads:
        return list(threads.map(_ask, urls, urls.values()))


def attention(*, urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """All that needs attention; what keeps sagas from moving first, and of that what stands
    longest."""
    return in_order(health(urls=urls))


def in_order(found: list[Health]) -> list[dict[str, Any]]:
    """The same, of what has been asked already."""
    told = [one for service in found for one in service.attention]
    return sorted(told, key=lambda one: (one["level"] != "unavailable", one["since"]))


def with_queues(found: list[Health]) -> list[Health]:
    """With the number of messages that wait in each queue, where the broker tells it."""
    queues = {one.service: queue_of(service=one.service) for one in found}
    queues = {name: queue for name, queue in queues.items() if name in WITH_WORKER}
    try:
        depths = _broker(settings.BROKER_URL).depths(list(queues.values()))
    except (BrokerUnavailable, ValueError):
        return found
    return [
        msgspec.structs.replace(one, queued=depths.get(queues[one.service]))
        if one.service in queues
        else one
        for one in found
    ]


@cache
def _broker(url: str) -> Broker:
    """Used by one thread at a time: who holds the lock of the page's numbers (dashboard.live)."""
    return connect(url)


def _ask(service: str, url: str) -> Health:
    try:
        answer = urllib3.request("GET", f"{url}/health", timeout=ASK_SECONDS, retries=False)
        found = _read(service, answer.json())
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError) as error:
        return _silent(service, url, error)
    _noted.forget(what=service)
    return found


def _read(service: str, said: dict[str, Any]) -> Health:
    outbox, counters = said.get("outbox", {}), said.get("worker", {}).get("counters", {})
    return Health(
        service=service,
        status=said.get("status", "ok"),
        workers=said.get("workers", []),
        unsent=outbox.get("unsent"),
        oldest_unsent=outbox.get("oldest_unsent_seconds", 0.0),
        parked=said.get("parked_messages", {}).get("count", 0),
        breakers_open=counters.get("breakers_open", 0),
        waiting=said.get("decisions", {}).get("waiting", 0),
        attention=list(_told(service, said["attention"])),
    )


def _silent(service: str, url: str, error: Exception) -> Health:
    complaint = {
        "service": service,
        "what": f"it does not answer at {url}",
        "since": _noted.since(what=service),
        "do": "start or continue its web process (manage.py status shows which)",
        "level": "unavailable",
        "error": str(error),
    }
    return Health(
        service=service,
        status="no answer",
        workers=[],
        unsent=None,
        oldest_unsent=0.0,
        parked=0,
        breakers_open=0,
        waiting=0,
        attention=[complaint],
    )


def _told(service: str, said: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in said:
        yield {**one, "service": service, "since": datetime.fromisoformat(one["since"])}
