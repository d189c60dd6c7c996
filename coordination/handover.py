"""Hands accepted sagas over to their coordinators, until each is answered for.

At once by the process that accepted them (`give`); what that could not, or what was accepted by a
process that died then, the worker's sweep finds (`Handover`, one a coordinator, so that one that is
down holds up no other). Idempotent by saga id: a hand-over whose answer was lost is made again.

One saga holds up no other. A list that fails is handed over in halves, down to the one whose fault
it is; that one is tried again with increasing delays, and then dead-lettered for a person
(`retry`, `discard`). One that can't even be read is dead-lettered at once.
"""

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from django.db import connections, transaction

from contracts import refusals
from contracts.outcomes import Done, Failure, Outcome, Refused
from contracts.patterns import PATTERNS, Pattern
from contracts.saga import SAGAS, Context, Undo
from coordination.acceptance import Owner
from coordination.store import UnreadableSaga
from httpapi.client import Client, Unreachable
from messaging.worker import Backoff, Complaint, wait_to_lead
from participant import failpoints, sql, tracing, trail
from participant.executing import execute

log = logging.getLogger(__name__)

BATCH = 200
SWEEP_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
LONGEST_PAUSE = 5.0
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Before the second, third, ... try of a saga that fails alone; then it is dead-lettered."""
SIGNS_OF_OUTAGE = (None, 408, 429, 502, 503, 504)
"""No answer at all, or a server that says that it can't: no saga's fault."""
SENT_SECONDS = 2.0
"""Younger ones are left to the process that has accepted them."""
KNOWN_SECONDS = 5.0
"""Those that start by themselves are known by then from their events; ended or not, each is handed
over once all the same, so that none is unknown for ever whose events were lost."""
MARK_SECONDS = 0.2
"""After the first of those that are marked together; sooner where there is much."""
KEPT_SECONDS = 5.0
"""A sender that has nothing to do for so long keeps no connection to the database."""
MOST_KEPT = 1_000
"""Sagas that a process keeps for its next hand-over; the sweep finds those beyond it."""


NOT_DEAD_LETTERED = Refused(
    refusals.NOT_DEAD_LETTERED,
    "This saga is not dead-lettered, or it runs by itself: leave it alone.",
)


class Route(NamedTuple):
    """Where sagas of some patterns are handed over. `starts_itself`: as of the pattern."""

    coordinator: str
    path: str
    starts_itself: bool

    @property
    def patterns(self) -> list[str]:
        return [pattern.name for pattern in PATTERNS.values() if _route_of(pattern) == self]


def _route_of(pattern: Pattern) -> Route:
    return Route(pattern.coordinator, pattern.hand_over, pattern.starts_itself)


ROUTES = tuple(dict.fromkeys(_route_of(pattern) for pattern in PATTERNS.values()))


class Retries:
    """The sagas that failed alone, and when each is tried again. Forgotten with the process."""

    def __init__(self) -> None:
        self._failed: dict[str, int] = {}
        self._due_at: dict[str, float] = {}

    def resting(self) -> list[str]:
        """Those whose time has not come."""
        now = time.monotonic()
        self._due_at = {saga_id: at for saga_id, at in self._due_at.items() if at > now}
        return list(self._due_at)

    def failed(self, *, saga_id: str, counts: bool) -> bool:
        """Whether that was the last try. `counts`: false where it only has to wait for somebody."""
        tries = self._failed.get(saga_id, 0)
        if tries == len(RETRY_SECONDS):
            del self._failed[saga_id]
            return True
        self._due_at[saga_id] = time.monotonic() + RETRY_SECONDS[tries]
        self._failed[saga_id] = tries + counts
        return False

    def forget(self, *, saga_ids: Sequence[str]) -> None:
        """They went well."""
        for saga_id in self._failed.keys() & set(saga_ids):
            del self._failed[saga_id]


class Handover:
    """The hand-over of one owner's sagas to one coordinator."""

    def __init__(self, *, owner: Owner, route: Route) -> None:
        self.name = f"handover.{route.coordinator}"
        self.path = route.path
        self.client = Client(route.coordinator, timeout=TIMEOUT_SECONDS)
        self._owner, self._sagas, self._route = owner, owner.sagas, route
        self._age = KNOWN_SECONDS if route.starts_itself else SENT_SECONDS
        self._handed_over = 0
        self._backoff = Backoff(longest=LONGEST_PAUSE)
        self._retries = Retries()
        self._complaint: Complaint | None = None

    @property
    def service(self) -> str:
        return self._owner.service

    def complaints(self) -> list[Complaint]:
        """That the coordinator takes none, and since when."""
        return [self._complaint] if self._complaint else []

    def counters(self) -> dict[str, int]:
        return {
            f"http_calls.{self.name}": self.client.calls,
            f"sagas.{self.name}": self._handed_over,
        }

    def run(self, stop: threading.Event) -> None:
        """Hands over until `stop` is set; a coordinator that is away is waited for."""
        while not stop.is_set():
            try:
                self._lead(stop)
            except Exception as error:  # noqa: BLE001 -- the outermost loop: no fault ends the hand-over
                pause = self._backoff.pause()
                log.warning("%s: %r; again in about %.1f s", self.name, error, pause)
                self._complain(error)
                connections[self._owner.service].close()
                stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
        connections[self._owner.service].close()

    def hand_over_once(self, *, older_than_seconds: float = 0.0) -> int:
        """Hands one batch over; returns how many there were to be.

        Raises Unreachable where the coordinator takes none: all of it is in doubt.
        """
        found = self._sagas.not_handed_over(
            patterns=self._route.patterns,
            limit=BATCH,
            older_than_seconds=older_than_seconds,
            but_not=self._retries.resting(),
        )
        self._dead_letter(
            {saga.saga_id: saga.reason for saga in found if isinstance(saga, UnreadableSaga)}
        )
        waiting = [context for context in found if isinstance(context, Context)]
        if waiting:
            self._hand_over_all(waiting)
        return len(found)

    def _lead(self, stop: threading.Event) -> None:
        if not wait_to_lead(service=self._owner.service, task=self.name, stop=stop):
            return
        while not stop.is_set():
            handed_over = self.hand_over_once(older_than_seconds=self._age)
            self._backoff.went_well()
            self._complaint = None
            if not handed_over:
                stop.wait(SWEEP_SECONDS)

    def _hand_over_all(self, contexts: list[Context]) -> None:
        try:
            self.hand_over(contexts)
        except Exception as error:  # noqa: BLE001 -- whatever it was: find whose fault it is
            _raise_if_outage(error)
            log.warning("%s: %d sagas, now in pieces: %r", self.name, len(contexts), error)
            with sql.impatient(service=self._owner.service):
                failed = self._hand_over_pieces(contexts, error)
            self._after_failures(failed, of=len(contexts))

    def _hand_over_pieces(self, contexts: list[Context], error: Exception) -> dict[str, Exception]:
        """In halves, and those in halves, down to each that fails alone: why, by saga id."""
        if len(contexts) == 1:
            return {contexts[0].saga_id: error}
        half = len(contexts) // 2
        failed: dict[str, Exception] = {}
        for piece in (contexts[:half], contexts[half:]):
            try:
                self.hand_over(piece)
            except Exception as found:  # noqa: BLE001 -- as above
                _raise_if_outage(found)
                failed |= self._hand_over_pieces(piece, found)
        return failed

    def hand_over(self, contexts: list[Context]) -> None:
        """Hands these over together, at least one. Raises whatever keeps it from that."""
        self.mark(self.tell(contexts))

    def tell(self, contexts: list[Context]) -> list[str]:
        """Tells the coordinator of these; the ids of those that it has now, and that are to be
        marked. Raises whatever keeps it from that.
        """
        with tracing.continued(f"hand over {self.path}", contexts, kind="client") as (given, _):
            outcomes = self._post(given)
        self._refuse(contexts, outcomes)
        return [
            context.saga_id
            for context, outcome in zip(contexts, outcomes, strict=True)
            if isinstance(outcome, Done)
        ]

    def mark(self, saga_ids: list[str]) -> None:
        """The coordinator has these."""
        failpoints.reach("handover.before_mark")
        self._sagas.mark_handed_over(saga_ids=saga_ids)
        failpoints.reach("handover.marked")
        self._handed_over += len(saga_ids)
        self._retries.forget(saga_ids=saga_ids)

    def _after_failures(self, failed: Mapping[str, Exception], *, of: int) -> None:
        """Several, and none that went well: no fault of theirs. Raises Unreachable then."""
        if len(failed) == of > 1:
            why = sql.category(next(iter(failed.values())))
            raise Unreachable(f"{self.path} takes none of {of}: {why}")
        self._dead_letter(
            {
                saga_id: f"{self.path} does not take it: {sql.category(error)}"
                for saga_id, error in failed.items()
                if self._retries.failed(saga_id=saga_id, counts=not sql.is_busy(error))
            }
        )

    def _dead_letter(self, reasons: Mapping[str, str]) -> None:
        if not reasons:
            return
        failpoints.reach("handover.before_dead_letter")
        self._sagas.dead_letter(reasons=reasons)
        failpoints.reach("handover.dead_letter")
        for saga_id, reason in reasons.items():
            log.error("dead-lettered, for a person: %s", reason, extra={"saga_id": saga_id})

    def _complain(self, error: Exception) -> None:
        self._complaint = Complaint(
            what=f"sagas are not handed over to {self.client.url}{self.path}:"
            f" {sql.category(error)}"[:500],
            since=self._complaint.since if self._complaint else datetime.now(UTC),
            do=f"Look at the coordinator at {self.client.url}; they go on by themselves.",
        )

    def _post(self, contexts: Sequence[Context]) -> list[Outcome]:
        answer = self.client.post(path=self.path, body=contexts)
        if answer.status != 207:
            raise Unreachable(f"{self.path} answered {answer.summary}", status=answer.status)
        outcomes: list[Outcome] = answer.decode(type=list[Outcome])
        if len(outcomes) != len(contexts):
            detail = f"{self.path}: {len(outcomes)} outcomes of {len(contexts)}"
            raise Unreachable(detail, status=answer.status)
        return outcomes

    def _refuse(self, contexts: list[Context], outcomes: list[Outcome]) -> None:
        """What its coordinator refuses never starts, unless it has started by itself: that one runs
        and waits only to be known.
        """
        refused = {
            context.saga_id: (context.saga, outcome.code, outcome.detail)
            for context, outcome in zip(contexts, outcomes, strict=True)
            if isinstance(outcome, Refused)
        }
        if not self._route.starts_itself:
            _end(self._owner, refused)
            return
        for saga_id, (_, code, detail) in refused.items():
            log.warning("not known: %s: %s", code, detail, extra={"saga_id": saga_id})
            self._retries.failed(saga_id=saga_id, counts=False)


def _raise_if_outage(error: Exception) -> None:
    """The coordinator, or this service's database, is away for all of them."""
    if isinstance(error, Unreachable) and error.status in SIGNS_OF_OUTAGE:
        raise error
    if sql.is_outage(error):
        raise error


def handovers(*, owner: Owner) -> list[Handover]:
    """One for each coordinator that sagas are handed over to: parts of the owner's worker."""
    return [Handover(owner=owner, route=route) for route in ROUTES]


class Sender:
    """Hands over what this process has accepted, from a thread of its own: one list at a time, so
    lists grow with the load by themselves.

    What was handed over is marked MARK_SECONDS after the first of it, together: most have ended by
    then, and need not be. The sweep does not look at what is so young.
    """

    def __init__(self, *, handover: Handover) -> None:
        self._handover = handover
        self._given: queue.Queue[Context] = queue.Queue(maxsize=MOST_KEPT)
        name = f"{handover.name}.sender"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def give(self, context: Context) -> None:
        """It is accepted and committed; this waits for nothing."""
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
            except Exception as error:  # noqa: BLE001 -- whatever it was: the sweep finds whose fault
                log.info("some sagas are left to the sweep: %r", error)
                connections[self._handover.service].close()

    def _next(self, *, until: float) -> list[Context]:
        """What was given since; waits for it until then, or without an end, and then keeps no
        connection.
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
    """Has the coordinator of this saga's pattern know of it at once, if it has to be told.

    Refuses nothing: the saga is accepted by now, and what this can't hand over the sweep finds.
    """
    pattern = PATTERNS.get(context.pattern)
    if pattern is None or pattern.starts_itself:
        return
    try:
        with _making:
            sender = _sender(owner, _route_of(pattern))
        sender.give(context)
    except RuntimeError as error:  # no thread more can be started here
        log.warning("left to the sweep: %s", error, extra={"saga_id": context.saga_id})


_making = threading.Lock()


@cache
def _sender(owner: Owner, route: Route) -> Sender:
    """This process's; made once, under `_making`."""
    return Sender(handover=Handover(owner=owner, route=route))


def retry(*, owner: Owner, saga_ids: Sequence[str]) -> set[str]:
    """A person's: these are handed over again, from the start. Which of them were dead-lettered."""
    failpoints.reach("handover.before_retry")
    with transaction.atomic(using=owner.service):
        found = owner.sagas.take_back(saga_ids=saga_ids)
        _note(owner, "handover.retry", found)
    failpoints.reach("handover.retried")
    return found


def discard(*, owner: Owner, saga_ids: Sequence[str], reason: str) -> set[str]:
    """A person's: ends these, as the undo of their acceptance does, and frees what they are about.

    Should a coordinator have one of them after all, its step is refused, and it is undone there.
    Returns which of them were dead-lettered; no other is touched, and none that runs by itself.
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


def _end(owner: Owner, why: Mapping[str, tuple[str, str, str]]) -> None:
    """By saga id: the saga's name, and the code and detail of its failure."""
    undos = []
    for saga_id, (saga, code, detail) in why.items():
        step = SAGAS[saga].steps[0].name if saga in SAGAS else ""
        failure = Failure(step, code, detail)
        undos.append(Undo(saga_id=saga_id, step=step, saga=saga, reason=code, failure=failure))
    if undos:
        execute(operation=owner.fail, commands=undos)
