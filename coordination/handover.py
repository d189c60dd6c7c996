"""Hands accepted sagas over to their coordinators, until each saga has an answer.

The process that accepted a saga hands it over at once (`give`). If that fails, or the process dies,
the worker's sweep hands it over (`coordination.sweeping`). Sagas that can't be handed over are left
to an operator (`retry`, `discard`). A hand-over is idempotent by saga id: if its answer was lost it
is repeated.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from django.db import connections, transaction

from contracts import refusals
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.patterns import PATTERNS, Pattern
from contracts.saga import SAGAS, Context, Undo
from coordination.acceptance import Owner
from httpapi.client import Client, Unreachable
from participant import failpoints, tracing, trail
from participant.executing import execute

log = logging.getLogger(__name__)

BATCH = 200
TIMEOUT_SECONDS = 10.0
MARK_SECONDS = 0.2
"""Sagas are marked together, so long after the first hand-over; sooner if there are BATCH."""
KEPT_SECONDS = 5.0
"""A sender that is idle for so long closes its connection to the database."""
MOST_KEPT = 1_000
"""Sagas that a process keeps for its next hand-over; the sweep finds any others."""


NOT_DEAD_LETTERED = Refused(
    refusals.NOT_DEAD_LETTERED,
    "This saga is not dead-lettered, or it runs by itself: it needs no action.",
)


WhyEnded = Mapping[str, tuple[str, str, str]]
"""By saga id: the saga's name, and the code and detail of its failure."""


class Route(NamedTuple):
    """Where sagas of some patterns are handed over. `starts_itself`: see Pattern."""

    coordinator: str
    path: str
    starts_itself: bool

    @property
    def patterns(self) -> list[str]:
        return [pattern.name for pattern in PATTERNS.values() if _route_of(pattern) == self]


def _route_of(pattern: Pattern) -> Route:
    return Route(pattern.coordinator, pattern.hand_over, pattern.starts_itself)


ROUTES = tuple(dict.fromkeys(_route_of(pattern) for pattern in PATTERNS.values()))


class Handover:
    """The hand-over of one owner's sagas to one coordinator."""

    def __init__(self, *, owner: Owner, route: Route) -> None:
        self.name = f"handover.{route.coordinator}"
        self.path = route.path
        self.client = Client(route.coordinator, timeout=TIMEOUT_SECONDS)
        self._owner, self._sagas = owner, owner.sagas

    @property
    def service(self) -> str:
        return self._owner.service

    def tell(self, contexts: list[Context]) -> list[str]:
        """Hands these over; returns the ids of the sagas that the coordinator has now, for `mark`.
        Raises any error of the call or the database.
        """
        with tracing.continued(f"hand over {self.path}", contexts, kind="client") as (given, _):
            outcomes = self._post(given)
        refused = {
            context.saga_id: (context.saga, outcome.code, outcome.detail)
            for context, outcome in zip(contexts, outcomes, strict=True)
            if isinstance(outcome, Refused)
        }
        self.end_refused(refused)
        return [
            context.saga_id
            for context, outcome in zip(contexts, outcomes, strict=True)
            if isinstance(outcome, Done)
        ]

    def mark(self, saga_ids: list[str]) -> None:
        """Marks these sagas as handed over."""
        failpoints.reach("handover.before_mark")
        self._sagas.mark_handed_over(saga_ids=saga_ids)
        failpoints.reach("handover.marked")

    def end_refused(self, why: WhyEnded) -> None:
        """Ends the sagas that their coordinator refuses: they never start."""
        _end(self._owner, why)

    def _post(self, contexts: Sequence[Context]) -> list[Outcome]:
        answer = self.client.post(path=self.path, body=contexts)
        if answer.status != 207:
            raise Unreachable(f"{self.path} answered {answer.summary}", status=answer.status)
        outcomes: list[Outcome] = answer.decode(type=list[Outcome])
        if len(outcomes) != len(contexts):
            detail = f"{self.path}: {len(outcomes)} outcomes of {len(contexts)}"
            raise Unreachable(detail, status=answer.status)
        return outcomes


class Sender:
    """Hands over the sagas that this process has accepted, from a thread of its own: one list at a
    time, so lists grow with the load.

    Sagas are marked together, MARK_SECONDS after the first of them: most have ended by then, and
    need no mark. The sweep leaves out sagas that are so young.
    """

    def __init__(self, *, handover: Handover) -> None:
        self._handover = handover
        self._given: queue.Queue[Context] = queue.Queue(maxsize=MOST_KEPT)
        name = f"{handover.name}.sender"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def give(self, context: Context) -> None:
        """Queues a saga that is accepted and committed, without waiting."""
        try:
            self._given.put_nowait(context)
        except queue.Full:
            log.info("left to the sweep", extra={"saga_id": context.saga_id})

    def _run(self) -> None:
        told: list[str] = []
        mark_at = math.inf
        while True:
            contexts = self._next(until=mark_at)
            try:
                if contexts:
                    told += self._handover.tell(contexts)
                    mark_at = min(mark_at, time.monotonic() + MARK_SECONDS)
                if time.monotonic() >= mark_at or len(told) >= BATCH:
                    due, told, mark_at = told, [], math.inf
                    self._handover.mark(due)
            except Exception as error:  # noqa: BLE001 -- any fault: the sweep finds the saga
                log.info("some sagas are left to the sweep: %r", error)
                connections[self._handover.service].close()

    def _next(self, *, until: float) -> list[Context]:
        """The sagas that were queued since; waits for them until then. Without an end it closes the
        connection before it waits on.
        """
        contexts: list[Context] = []
        with suppress(queue.Empty):
            wait = min(KEPT_SECONDS, max(0.0, until - time.monotonic()))
            contexts.append(self._given.get(timeout=wait))
        if not contexts and until == math.inf:
            connections[self._handover.service].close()
            contexts.append(self._given.get())
        while contexts and len(contexts) < BATCH and not self._given.empty():
            contexts.append(self._given.get())
        return contexts


def give(*, owner: Owner, context: Context) -> None:
    """Hands this saga over to its pattern's coordinator at once, unless it starts by itself.

    Raises nothing: the saga is accepted, and if this fails the sweep hands it over.
    """
    pattern = PATTERNS.get(context.pattern)
    if pattern is None or pattern.starts_itself:
        return
    try:
        with _making:
            sender = _sender(owner, _route_of(pattern))
        sender.give(context)
    except RuntimeError as error:  # no more threads can be started here
        log.warning("left to the sweep: %s", error, extra={"saga_id": context.saga_id})


_making = threading.Lock()


@cache
def _sender(owner: Owner, route: Route) -> Sender:
    """This process's sender for a route; made once, under `_making`."""
    return Sender(handover=Handover(owner=owner, route=route))


def retry(*, owner: Owner, saga_ids: Sequence[str]) -> set[str]:
    """For operators: hands these over again, from the start. Returns which were dead-lettered."""
    failpoints.reach("handover.before_retry")
    with transaction.atomic(using=owner.service):
        found = owner.sagas.take_back(saga_ids=saga_ids)
        _note(owner, "handover.retry", found)
    failpoints.reach("handover.retried")
    return found


def discard(*, owner: Owner, saga_ids: Sequence[str], reason: str) -> set[str]:
    """For operators: ends these as the undo of their acceptance does, and frees what they lock.

    If a coordinator has one of them after all, its next step is refused, and it is undone there.
    Returns which of them were dead-lettered; others, and sagas that run by themselves, stay.
    """
    with transaction.atomic(using=owner.service):
        handed_over = [pattern.name for pattern in PATTERNS.values() if not pattern.starts_itself]
        found = owner.sagas.lock_dead_letters(saga_ids=saga_ids, patterns=handed_over)
        _end(
            owner, {saga_id: (saga, refusals.DISCARDED, reason) for saga_id, saga in found.items()}
        )
        _note(owner, "handover.discard", found)
        failpoints.reach("handover.before_discard")
    failpoints.reach("handover.discarded")
    return set(found)


def _note(owner: Owner, action: str, saga_ids: Iterable[str]) -> None:
    subjects = [(f"saga {saga_id}", "") for saga_id in saga_ids]
    trail.note(service=owner.service, action=action, subjects=subjects)


def _end(owner: Owner, why: WhyEnded) -> None:
    undos = []
    for saga_id, (saga, code, detail) in why.items():
        step = SAGAS[saga].steps[0].name if saga in SAGAS else ""
        failure = Failure(step, code, detail)
        undos.append(Undo(saga_id=saga_id, step=step, saga=saga, reason=code, failure=failure))
    if undos:
        execute(operation=owner.fail, commands=undos)
