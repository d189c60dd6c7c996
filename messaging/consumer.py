"""The consumer: takes events in batches, handles them by reaction, and acks after the commit.

A batch that faults is handled again in pieces, in the end one by one, so a poison message harms
only itself: it is stored (`failed`), retried with growing delays, and dead-lettered in the end.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import isqrt

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from contracts import events, refusals, topology
from contracts.events import Event, InvalidMessage
from contracts.states import Complaint
from messaging import failed
from messaging.brokers import Broker, BrokerUnavailable, Delivery, Rejected, Subscription
from messaging.handlers import InvalidEvent, Reaction
from messaging.worker import Backoff
from participant import failpoints, metrics, sql
from participant.barrier import keep_seconds
from participant.databases import EARLIEST

log = logging.getLogger(__name__)

ReactionKey = tuple[str, str]
"""A saga's name, and a type of event of that saga."""
BATCH = 100
PREFETCH = 200
SMALL = 12
"""A batch that faulted is handled message by message if it is at most so large."""
IDLE_SECONDS = 0.5
RETRY_SECONDS = 1.0
"""How often failed messages are checked, also under load."""
LATE_SHARE = 0.9
"""Of the retention: the saga of an older message may be closed. The rest allows for clock skew."""
CLOCK_SECONDS = 15.0
"""How often the age limit of messages is calculated anew."""
IMPATIENT_SECONDS = 10.0
"""After a message has met a locked row, for so long none waits for locks: they may last long."""
_NOBODY: frozenset[str] = frozenset()
_LATE = (
    "it is older than the rows that are kept of ended sagas (DUETO_KEEP_SECONDS): discard it if its"
    " saga has ended, or else retry it"
)
_WHAT_TO_DO = (
    "start or continue the broker or the database; if the queue is missing, run manage.py topology,"
    " which also reports a different queue of that name; if the broker refuses access, restore the"
    " rights of the service's login (manage.py topology --rights): it then goes on by itself"
)


_TOO_MUCH = (
    "with DUETO_AUTH=required a service logs in to the broker with a login of its own, which may"
    " only publish its own messages and read its own queue (manage.py topology --rights)"
)


def is_required() -> bool:
    """Whether publishers must be authenticated."""
    return str(getattr(settings, "AUTH", "required")) == "required"


def refuse_login(*, broker: Broker, service: str) -> str:
    """Why this login is refused: it must be the service's own; empty if it is allowed."""
    if not is_required() or broker.login == service:
        return ""
    return f"{service} would log in to the broker as {broker.login!r}: {_TOO_MUCH}"


class DatabaseUnavailable(Exception):
    """The service's database can't work now, which is no message's fault."""


class Consumer:
    """Consumes the events of the reactions, from the service's durable queue.

    If it logs in to the broker under the service's own name, so do all services: a message is then
    accepted only from a service that may publish it. With one login for all there is no such check.

    `linger`: seconds to wait for more messages after the first; only for a consumer that delays no
    saga. Raises ValueError for two reactions to the same event.
    """

    name = "consumer"

    def __init__(
        self, *, service: str, broker: Broker, reactions: Sequence[Reaction], linger: float = 0.0
    ) -> None:
        self.service = service
        self.broker = broker
        self.linger = linger
        self.queue = topology.queue_of(service=service)
        self._is_attested = broker.login == service
        self._publishers = topology.publishers()
        self.reactions: Mapping[ReactionKey, Reaction] = {
            (reaction.saga, reaction.on): reaction for reaction in reactions
        }
        if len(self.reactions) < len(reactions):
            raise ValueError(f"two reactions of {service} are to the same event: one would be lost")
        self._counters: Counter[str] = Counter()
        self._retry_at = 0.0
        self._clock_at = 0.0
        self._late_before = EARLIEST
        self._impatient_until = 0.0
        self._is_impatient = False
        self._backoff = Backoff()

    def counters(self) -> dict[str, int]:
        return dict(self._counters)

    def complaints(self) -> list[Complaint]:
        """That no message comes, with the reason of the broker or the database."""
        what = f"{self.service} receives nothing from its queue {self.queue}"
        return self._backoff.complaints(what, _WHAT_TO_DO)

    def run(self, stop: threading.Event) -> None:
        """Consumes until `stop` is set; waits for a broker or database that is unreachable."""
        while not stop.is_set():
            try:
                self._consume(stop)
            except (BrokerUnavailable, DatabaseUnavailable, DatabaseError, InterfaceError) as error:
                pause = self._backoff.pause(error)
                log.warning("consumer of %s: %s; again in %.1f s", self.service, error, pause)
                connections[self.service].close()
                stop.wait(pause)
        connections[self.service].close()

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Handles a batch; afterwards every message has taken effect or is stored as failed.

        Raises DatabaseUnavailable; then no message may be acked.
        """
        with self._translated():
            decoded = [event for delivery in deliveries if (event := self._decoded(delivery))]
            redrives = [event for event in decoded if event.redrive]
            retried = failed.being_retried(service=self.service, redrives=redrives)
            groups: dict[str, list[Event]] = {}
            for event in decoded:
                if not (event.redrive and event.id in retried):
                    groups.setdefault(self.reactions[_key(event)].group, []).append(event)
            with self._patience():
                for group in groups.values():
                    self._handle_group(self.reactions[_key(group[0])], group)
        self._counters["messages_consumed"] += len(deliveries)
        self._counters["consume_batches"] += 1
        metrics.observe(metrics.BATCH, len(deliveries), "consumed")

    def retry_failed(self) -> int:
        """Retries failed messages that are due; returns their number.

        Raises DatabaseUnavailable, and then no attempt is counted.
        """
        with self._translated():
            return failed.retry_due(
                service=self.service, handle=self._handle_one, step_of=self._step_of
            )

    def _consume(self, stop: threading.Event) -> None:
        if is_required() and self.broker.may_configure():
            raise Rejected(f"the login {self.broker.login!r} may make queues: {_TOO_MUCH}")
        subscription = self.broker.subscribe(queue=self.queue, prefetch=PREFETCH)
        try:
            while not stop.is_set():
                if time.monotonic() >= self._clock_at:
                    self.look_at_the_clock()
                self._take_and_handle(subscription)
                self._backoff.went_well()
        finally:
            subscription.close()

    def look_at_the_clock(self) -> None:
        """Calculates the age limit of messages, by the database's clock."""
        late = timedelta(seconds=keep_seconds() * LATE_SHARE)
        self._late_before = sql.now(service=self.service) - late
        self._clock_at = time.monotonic() + CLOCK_SECONDS

    def _take_and_handle(self, subscription: Subscription) -> None:
        deliveries = subscription.take(limit=BATCH, timeout=IDLE_SECONDS)
        if self.linger and 0 < len(deliveries) < BATCH:
            time.sleep(self.linger)
            deliveries += subscription.take(limit=BATCH - len(deliveries), timeout=0)
        if deliveries:
            self._handle_and_ack(subscription, deliveries)
        if time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._retry_failed_unless_locked()

    def _handle_and_ack(self, subscription: Subscription, deliveries: list[Delivery]) -> None:
        failpoints.reach("consumer.taken")
        try:
            self.handle(deliveries)
        except (DatabaseUnavailable, DatabaseError, InterfaceError):
            _give_back(subscription, deliveries)
            raise
        failpoints.reach("consumer.before_ack")
        subscription.ack(deliveries)
        failpoints.reach("consumer.acked")

    def _retry_failed_unless_locked(self) -> None:
        """Retries failed messages; a lock of another session must not delay new messages."""
        try:
            self.retry_failed()
        except DatabaseError as error:
            if not sql.is_busy(error):
                raise
            log.warning("consumer of %s: a failed message is locked: %s", self.service, error)

    def _decoded(self, delivery: Delivery) -> Event | None:
        """The event; None if it is dead-lettered because it can't be handled, or ignored because a
        known saga's event has no reaction here: an old binding of the queue may deliver it.
        """
        try:
            event = events.decode(delivery.message.body)
            key = event.saga, event.type
            if self._is_attested and delivery.speaker not in self._publishers.get(key, _NOBODY):
                raise InvalidMessage(_not_its_to_say(delivery.speaker, event))
            if key in self.reactions:
                if self._is_late(event):
                    raise InvalidMessage(_LATE)
                return event
            if _is_known(event):
                self._counters["messages_of_no_use"] += 1
                return None
            reason = f"no reaction to {event.type!r} of {event.saga!r} here"
        except InvalidMessage as error:
            reason = str(error)
        failed.dead_letter(
            service=self.service,
            message=delivery.message,
            reason=reason,
            is_again=delivery.redelivered,
        )
        return None

    def _is_late(self, event: Event) -> bool:
        """Whether its saga may be closed: the barrier would then execute a duplicate."""
        return not event.redrive and event.occurred_at < self._late_before

    def _handle_group(self, reaction: Reaction, group: list[Event], *, attempts: int = 1) -> None:
        """Handles a group, after a fault in pieces. `attempts`: including this one."""
        try:
            reaction.handle(group)
            failed.close(service=self.service, handled=[event for event in group if event.redrive])
        except InvalidEvent as error:
            self._keep(error.event, error, attempts=attempts)
            others = [event for event in group if event is not error.event]
            if others:
                self._handle_group(reaction, others, attempts=attempts)
        except Exception as error:  # noqa: BLE001 -- any fault: find the message
            self._raise_if_database_is_gone(error)
            if sql.is_busy(error):
                self._impatient_until = time.monotonic() + IMPATIENT_SECONDS
                self._handle_one_by_one(reaction, group, error)
            elif len(group) == 1:
                self._keep(group[0], error, attempts=attempts)
            else:
                log.warning(
                    "%s: %d events, now in pieces: %.500r", reaction.group, len(group), error
                )
                for piece in _pieces(group):
                    self._handle_group(reaction, piece, attempts=attempts + 1)

    def _handle_one_by_one(self, reaction: Reaction, group: list[Event], error: Exception) -> None:
        """Handles one by one, because one message needs a locked row: only that message waits."""
        if len(group) == 1:
            self._keep(group[0], error, attempts=0)
            return
        log.warning("%s: %d events, now one by one: %.500r", reaction.group, len(group), error)
        with self._patience():
            for event in group:
                self._handle_group(reaction, [event])

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """After a locked row, waits only a short time for locks: under load each batch may have a
        message that needs a locked row.
        """
        if self._is_impatient or time.monotonic() >= self._impatient_until:
            yield
            return
        self._is_impatient = True
        try:
            with sql.impatient(service=self.service):
                yield
        finally:
            self._is_impatient = False

    def _keep(self, event: Event, error: Exception, *, attempts: int) -> None:
        self._counters["messages_failed"] += 1
        failed.keep(service=self.service, event=event, attempts=attempts, error=error)

    def _handle_one(self, event: Event) -> None:
        reaction = self.reactions.get(_key(event))
        if not reaction:
            raise InvalidEvent(event, f"no reaction to {event.type!r} of {event.saga!r} here")
        reaction.handle([event])
        if event.redrive:
            failed.close(service=self.service, handled=[event])

    def _step_of(self, event: Event) -> str:
        reaction = self.reactions.get(_key(event))
        return reaction.step if reaction else ""

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raises DatabaseUnavailable for an outage of the database."""
        try:
            yield
        except (DatabaseError, InterfaceError) as error:
            self._raise_if_database_is_gone(error)
            raise

    def _raise_if_database_is_gone(self, error: Exception) -> None:
        """Also if the database is back by now: a broken connection is no message's fault."""
        if not isinstance(error, DatabaseError | InterfaceError):
            return
        if sql.is_outage(error) or not connections[self.service].is_usable():
            raise DatabaseUnavailable(f"the database of {self.service}: {error}") from error


def _give_back(subscription: Subscription, deliveries: list[Delivery]) -> None:
    failpoints.reach("consumer.before_give_back")
    subscription.give_back(deliveries)
    failpoints.reach("consumer.given_back")


def _pieces(group: list[Event]) -> Iterator[list[Event]]:
    """Pieces of the square root's size, or single events: a hundred events with a poison message
    take twenty transactions instead of a hundred, and only three attempts at the poison message.
    """
    size = 1 if len(group) <= SMALL else isqrt(len(group))
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _key(event: Event) -> ReactionKey:
    return event.saga, event.type


def _is_known(event: Event) -> bool:
    """Whether it is an event, a request or a reply of a saga in the catalogue."""
    return _key(event) in topology.publishers()


def _not_its_to_say(speaker: str, event: Event) -> str:
    allowed = " or ".join(sorted(topology.publishers().get(_key(event), _NOBODY)))
    return (
        f"{refusals.NOT_ITS_TO_SAY}: {speaker or 'an unknown login'!r} has published it, but only"
        f" {allowed or 'no service'} may publish {event.route}: discard it, it is not retried"
    )
