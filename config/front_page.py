"""The admin's front page: first of all what needs attention, in every service."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import urllib3
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from httpapi.standing import Noted

ASK_SECONDS = 2.5
"""Longer than a service takes to say that its own database does not answer (1.5 s)."""
_noted = Noted()
"""Since when a service does not answer: it can't tell that itself."""


def front_page(request: HttpRequest) -> HttpResponse:
    """The admin's index, with `attention`: what stands, since when, and what to do."""
    return admin.site.index(
        request, extra_context={"attention": attention(urls=settings.SERVICE_URLS)}
    )


def attention(*, urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """What each service says in /health, asked all at once; one that says nothing is named.

    What keeps sagas from moving comes first, and of that what stands longest.
    """
    with ThreadPoolExecutor(len(urls)) as threads:
        found = [note for told in threads.map(_ask, urls, urls.values()) for note in told]
    return sorted(found, key=lambda note: (note["level"] != "unavailable", note["since"]))


def _ask(service: str, url: str) -> list[dict[str, Any]]:
    try:
        answer = urllib3.request("GET", f"{url}/health", timeout=ASK_SECONDS, retries=False)
        told = list(_told(service, answer.json()["attention"]))
    except (urllib3.exceptions.HTTPError, ValueError, LookupError, TypeError) as error:
        return [
            {
                "service": service,
                "what": f"it does not answer at {url}",
                "since": _noted.since(what=service),
                "do": "start or continue its web process (manage.py status shows which)",
                "level": "unavailable",
                "error": str(error),
            }
        ]
    _noted.forget(what=service)
    return told


def _told(service: str, complaints: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for complaint in complaints:
        yield {**complaint, "service": service, "since": datetime.fromisoformat(complaint["since"])}
