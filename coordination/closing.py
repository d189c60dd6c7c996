"""Closing: all services delete their rows of a saga once it ended longer ago than the retention.

Its owner closes it: asks first the saga's coordinator to forget it, which refuses while the saga is
parked, goes backward, or was returned lately; then each participant; and marks it closed once no
service has rows of it. The coordinator comes first, so that no saga can be undone after its
barriers are gone. Each call may be repeated: an interrupted closing is completed by a later sweep.

POST /<service>/closed    a list of saga ids: 200 with those of which nothing is kept here
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from itertools import groupby
from operator import attrgetter
from time import monotonic

from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from contracts import projection
from contracts.bounds import MOST_BYTES, MOST_IN_A_BATCH
from contracts.doors import declared, door_by
from contracts.patterns import PATTERNS
from contracts.saga import SAGAS
from contracts.states import Complaint
from coordination.acceptance import Owner
from coordination.store import Ended
from httpapi import problems
from httpapi.client import Client, Unreachable
from httpapi.json import answer, decode
from httpapi.steps import PlainView, made
from messaging import failed
from messaging.retention import AGAIN_SECONDS, Cleaned
from messaging.worker import Backoff
from participant import barrier

log = logging.getLogger(__name__)

AT_ONCE = 500
TIMEOUT_SECONDS = 5.0
YOUNG_SHARE = 0.5
"""Of the retention: no service deletes younger rows. The owner waits for the whole retention, by
its own clock."""
LASTS_SECONDS = 600.0
"""From acceptance to end, for nearly all sagas. A saga that lasts longer, or can't be closed yet,
is skipped, and tried again after AGAIN_SECONDS."""
_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), "")


def forget_all(*, service: str, saga_ids: Sequence[str]) -> list[str]:
    """Deletes this service's rows of these sagas, for each saga all or none: none if a row is
    young, open, or locked by another session. Returns the sagas without rows here.
    """
    if not saga_ids:
        return []
    younger = barrier.keep_seconds() * YOUNG_SHARE
    with transaction.atomic(using=service):
        left = _forget(service, saga_ids, younger)
        gone = [saga_id for saga_id in saga_ids if saga_id not in left]
        failed.forget_sagas(service=service, saga_ids=gone)
    return gone


def _forget(service: str, saga_ids: Sequence[str], seconds: float) -> set[str]:
    """Deletes a coordinator's sagas, or a participant's entries; the sagas that still have rows."""
    if service in {pattern.coordinator for pattern in PATTERNS.values()}:
        store = import_module(f"{service}.store")
        left: set[str] = store.forget_sagas(saga_ids=saga_ids, seconds=seconds)
        return left
    return barrier.forget_sagas(
        service=service,
        saga_ids=saga_ids,
        seconds=seconds,
        has_decisions="decision" in apps.get_app_config(service).models,
    )


class ClosedView(PlainView):
    """POST a list of saga ids: 200 with those of which nothing is kept here, from now on."""

    service = ""

    @door_by(
        lambda view, path: declared(
            callers=projection.owners(),
            takes=list[str],
            most_bytes=MOST_BYTES,
            gives={200: list[str]},
            example=["3f0e7a52"],
        )
    )
    def post(self, request: HttpRequest) -> HttpResponse:
        saga_ids = decode(request.body, type=list[str])
        if len(saga_ids) > MOST_IN_A_BATCH:
            raise problems.wrong_field("body", f"at most {MOST_IN_A_BATCH} sagas in one list")
        return answer(forget_all(service=self.service, saga_ids=saga_ids))


def urls(*, service: str) -> list[URLPattern]:
    return [path(f"{service}/closed", made(ClosedView, service=service))]


class Closing:
    """A chore of the owner's cleaner. A saga that can't be closed yet delays no other."""

    def __init__(self, *, owner: Owner) -> None:
        self._owner, self._sagas = owner, owner.sagas
        self._after = _BEGINNING
        self._again_at = monotonic() + AGAIN_SECONDS
        self._backoff = Backoff()

    def complaints(self) -> list[Complaint]:
        """That a service can't delete its rows: it stops no saga, but the tables grow."""
        what = "sagas that ended long ago are not closed"
        do = "start the service that it names; they are closed by themselves then"
        return self._backoff.complaints(what, do, stops_sagas=False)

    def clean(self) -> Cleaned:
        found = self._sagas.to_close(
            after=self._after, limit=AT_ONCE, seconds=barrier.keep_seconds(), lasts=LASTS_SECONDS
        )
        closed, away = 0, None
        for saga, pattern, saga_ids in _alike(found):
            try:
                closed += self._close(saga, pattern, saga_ids)
            except Unreachable as error:
                away = error
        if away:
            self._backoff.pause(away)
            return Cleaned({"sagas_closed": closed}, is_more=False)
        self._backoff.went_well()
        is_more = len(found) == AT_ONCE
        if is_more:
            self._after = found[-1].accepted_at, found[-1].saga_id
        elif monotonic() >= self._again_at:
            self._after, self._again_at = _BEGINNING, monotonic() + AGAIN_SECONDS
        return Cleaned({"sagas_closed": closed}, is_more)

    def _close(self, saga: str, pattern: str, saga_ids: Sequence[str]) -> int:
        """Closes these sagas; the number of those that are closed."""
        for service in (PATTERNS[pattern].coordinator, *projection.services_of(SAGAS[saga])):
            saga_ids = self._forgotten(service, saga_ids)
        self._sagas.mark_closed(saga_ids=saga_ids)
        return len(saga_ids)

    def _forgotten(self, service: str, saga_ids: Sequence[str]) -> Sequence[str]:
        """Raises Unreachable."""
        if service == self._owner.service or not saga_ids:
            return forget_all(service=service, saga_ids=saga_ids)
        if service not in settings.SERVICE_URLS:
            raise Unreachable(f"{service} has no address here")
        given = self._clients[service].post(path=f"/{service}/closed", body=saga_ids)
        if given.status != 200:
            raise Unreachable(f"{service} answered {given.summary}")
        forgotten: list[str] = given.decode(type=list[str])
        return forgotten

    @cached_property
    def _clients(self) -> dict[str, Client]:
        return {
            name: Client(name, url=url, timeout=TIMEOUT_SECONDS, connections=1)
            for name, url in settings.SERVICE_URLS.items()
        }


def _alike(found: Sequence[Ended]) -> list[tuple[str, str, list[str]]]:
    """The sagas that may be closed and are still in the catalogue: saga, pattern, and saga ids."""
    due = [
        saga for saga in found if saga.is_due and saga.saga in SAGAS and saga.pattern in PATTERNS
    ]
    kind = attrgetter("saga", "pattern")
    return [
        (*names, [saga.saga_id for saga in of_it])
        for names, of_it in groupby(sorted(due, key=kind), kind)
    ]
