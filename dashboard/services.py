"""The health of all services, read concurrently, and the depths of their queues."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from typing import Any

import urllib3
from django.conf import settings

from catalogue.services import WITH_WORKER
from contracts.topology import queue_of
from httpapi import keys
from httpapi.health import SingleFlight
from httpapi.standing import Noted
from messaging.brokers import Broker, BrokerUnavailable, connect

ASK_SECONDS = 2.5
"""Longer than a service takes to report that its own database does not answer (1.5 s)."""
Health = dict[str, Any]
"""A service's /health; the entries of `attention` have its name, and times as datetimes."""
_looks = SingleFlight(name="queues")
"""A broker that hangs holds up one thread, and no page."""
_noted = Noted()
"""Since when services do not answer: they can't report that themselves."""


def health(*, urls: Mapping[str, str]) -> list[Health]:
    """The health of each service. A service that does not answer has the status `no answer`."""
    with ThreadPoolExecutor(len(urls)) as threads:
        return list(threads.map(_ask, urls, urls.values()))


def attention(found: Iterable[Health]) -> list[dict[str, Any]]:
    """All that needs attention: first what keeps sagas from moving, then the longest standing."""
    entries = [entry for service in found for entry in service["attention"]]
    return sorted(entries, key=lambda entry: (entry["level"] != "unavailable", entry["since"]))


def queues() -> dict[str, int]:
    """How many messages wait for each service; empty if the broker does not answer soon."""
    try:
        return _looks.ask(question=_depths, seconds=ASK_SECONDS)
    except (BrokerUnavailable, TimeoutError, ValueError):
        return {}


def _depths() -> dict[str, int]:
    named = {queue_of(service=service): service for service in WITH_WORKER}
    return {named[queue]: depth for queue, depth in _broker().depths(list(named)).items()}


@cache
def _broker() -> Broker:
    return connect(settings.BROKER_URL)


def _ask(service: str, url: str) -> Health:
    try:
        answer = urllib3.request(
            "GET",
            f"{url}/health",
            headers=keys.credentials(service),
            timeout=ASK_SECONDS,
            retries=False,
        )
        found: Health = {"status": "ok", **answer.json(), "service": service}
        found["attention"] = [
            {**entry, "service": service, "since": datetime.fromisoformat(entry["since"])}
            for entry in found["attention"]
        ]
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError) as error:
        complaint = {
            "service": service,
            "what": f"it does not answer at {url}",
            "since": _noted.since(what=service),
            "do": "start or continue its web process (manage.py status shows which)",
            "level": "unavailable",
            "error": type(error).__name__,
        }
        return {"service": service, "status": "no answer", "attention": [complaint]}
    _noted.forget(what=service)
    return found
