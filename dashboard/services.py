"""How the services are: what each says in /health, asked all at once, and what its queue holds."""

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
"""Longer than a service takes to say that its own database does not answer (1.5 s)."""
Health = dict[str, Any]
"""What a service says of itself, its `attention` with its name and real times."""
_looks = SingleFlight(name="queues")
"""A broker that stands still keeps its thread, and no page."""
_noted = Noted()
"""Since when a service does not answer: it can't tell that itself."""


def health(*, urls: Mapping[str, str]) -> list[Health]:
    """Each of them; one that says nothing has the status `no answer`, and that in `attention`."""
    with ThreadPoolExecutor(len(urls)) as threads:
        return list(threads.map(_ask, urls, urls.values()))


def attention(found: Iterable[Health]) -> list[dict[str, Any]]:
    """All that needs attention; what keeps sagas from moving first, and of that what stands
    longest."""
    told = [one for service in found for one in service["attention"]]
    return sorted(told, key=lambda one: (one["level"] != "unavailable", one["since"]))


def queues() -> dict[str, int]:
    """How many messages wait for each service; nothing where the broker does not tell it soon."""
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
        said: Health = {"status": "ok", **answer.json(), "service": service}
        said["attention"] = [
            {**one, "service": service, "since": datetime.fromisoformat(one["since"])}
            for one in said["attention"]
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
    return said
