"""Messages: consumed in any order, duplicated, lost; by services that may die or be slow.

Undisturbed, they are consumed in the order in which they were published, each service publishes
its committed events at once, and the watching coordinator consumes last, all at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, NamedTuple

from checker.explorer.injection import Crashed, FaultInjection
from checker.explorer.sagas.backend import Backend
from checker.explorer.sagas.deciding import CRASHES_OF_DECISION, SLOW_DECISIONS
from checker.explorer.sagas.memory import AFTER_READING
from checker.explorer.scheduling import PROGRESS, Option
from checker.explorer.store import WouldWait
from contracts import events
from messaging.brokers import Delivery, Message
from messaging.brokers.memory import MemoryBroker
from messaging.consumer import Consumer
from messaging.handlers import Reaction
from messaging.relay import Relay

PREFETCH = 1_000
BEFORE_WRITE, BEFORE_CONFIRM = "publisher.before_write", "publisher.before_confirm"
BEFORE_COMMIT, AFTER_COMMIT = "executing.before_commit", "executing.after_commit"
CRASHES = (
    BEFORE_COMMIT,
    AFTER_COMMIT,
    "consumer.taken",
    "consumer.acked",
    BEFORE_WRITE,
    BEFORE_CONFIRM,
)
CRASHES_OF_WATCHER = ("tracking.before_commit", "tracking.after_commit")
SLOW_AT = (AFTER_READING, BEFORE_COMMIT)
"""Where a transaction may be slow: before it writes, and before it commits."""


class WaitingMessage(NamedTuple):
    """A message in a service's queue; sorts by age."""

    arrival: int
    service: str
    message: Message

    def __str__(self) -> str:
        event = events.decode(self.message.body)
        redrive = " (a redrive)" if event.redrive else ""
        return f"{self.service} receives {event.type} of {event.saga_id}{redrive}"


class MessageScheduler:
    """The services' queues and outboxes. `watcher`: the service that only watches, if any."""

    def __init__(
        self,
        *,
        backend: Backend,
        broker: MemoryBroker,
        reactions: Mapping[str, Sequence[Reaction]],
        watcher: str = "",
    ) -> None:
        self._backend = backend
        self._broker = broker
        self._injection = backend.injection
        self._limits = backend.limits
        self._watcher = watcher
        self._consumers = {
            service: Consumer(service=service, broker=broker, reactions=own)
            for service, own in reactions.items()
        }
        publisher = _Publisher(broker, backend.injection)
        self._relays = {
            service: Relay(service=service, broker=publisher)  # type: ignore[arg-type]  # it only publishes
            for service in reactions
        }
        for consumer in self._consumers.values():
            routes = sorted(events.route(saga, event) for saga, event in consumer.reactions)
            broker.declare(queue=consumer.queue, events=routes)
        self._free: dict[str, list[_ScheduledQueue]] = {service: [] for service in reactions}
        self._blocked: set[tuple[str, int]] = set()

    def clear(self) -> None:
        self._broker.purge()
        self._blocked.clear()

    def publish(self, service: str) -> None:
        """The service's relay sends the events in its outbox."""
        with suppress(Crashed):  # events published by then will be published again
            self._relays[service].relay_once()

    def look(self) -> None:
        """Reads the queues; to be called before the options."""
        queues = self._queues()
        self._watched = queues.pop(self._watcher, [])
        self._waiting = sorted(message for queue in queues.values() for message in queue)

    def progress(self) -> Iterator[Option]:
        if unsent := self._backend.unsent():
            yield Option(PROGRESS, "{0} publishes its unsent events", self.publish, unsent)
        if self._waiting:
            yield Option(PROGRESS, "{0}", self._consume, self._waiting)
        if self._watched:
            yield Option(
                PROGRESS, "{0} consumes all that waits", self._consume_all, [self._watcher]
            )

    def faults(self) -> Iterator[Option]:
        left, waiting = self._limits.left, self._waiting
        # Of the watcher's messages only the newest: the order of the others adds no new case.
        any_one = waiting + self._watched[-1:]
        if left["double"]:
            yield Option("double", "duplicated: {0}", self._double, any_one)
        if left["lose"]:
            yield Option("lose", "lost: {0}", self._lose, any_one)
        if len(self._watched) > 1:
            yield Option("late", "{0}, before older ones", self._consume, self._watched[-1:])
        deciding = [message for message in waiting if message.service in self._backend.deciding]
        for places, some in ((CRASHES, waiting), (CRASHES_OF_DECISION, deciding)):
            yield from self._backend.crashes("{0}, and crashes at ", places, self._consume, some)
        if left["crash"] and self._watched:
            text = "the watcher consumes all that waits, and crashes at {0}"
            yield Option("crash tracking", text, self._crash_watcher, CRASHES_OF_WATCHER)
        for places, some in ((SLOW_AT, waiting), (SLOW_DECISIONS[1:], deciding)):
            yield from self._backend.overlaps(
                "{0}, and is slow ", places, self._consume, some, name=attrgetter("service")
            )

    def breaches_at_the_end(self) -> list[str]:
        found = [
            f"{service} has something left in its outbox" for service in self._backend.unsent()
        ]
        left = {service for service, queue in self._queues().items() if queue}
        return found + [f"{service} has messages left in its queue" for service in sorted(left)]

    # The actions

    def _queues(self) -> dict[str, list[WaitingMessage]]:
        """The messages of each service, oldest first, except those that wait for a locked row."""
        if not self._injection.depth:
            self._blocked.clear()
        queues = self._broker.waiting()
        return {
            service: [
                WaitingMessage(arrival, service, message)
                for arrival, message in queues[consumer.queue]
                if (service, arrival) not in self._blocked
            ]
            for service, consumer in self._consumers.items()
        }

    def _consume(self, message: WaitingMessage) -> None:
        """The service takes this message, handles it and acks it, and publishes its events."""
        if self._handle(message.service, only=message.arrival):
            self.publish(message.service)

    def _consume_all(self, service: str) -> None:
        """Consumes all waiting messages in one batch."""
        self._handle(service)

    def _handle(self, service: str, only: int | None = None) -> bool:
        """False if the service crashed, or must wait for an open transaction: its messages are then
        back in the queue.
        """
        consumer, free = self._consumers[service], self._free[service]
        queue = free.pop() if free else _ScheduledQueue(self._broker, consumer.queue)
        queue.subscription.only = only
        try:
            consumer._take_and_handle(queue)
        except Crashed:
            queue.subscription.give_back(queue.taken)
            return False
        except WouldWait:
            queue.subscription.give_back(queue.taken)
            self._blocked.update((service, delivery.tag) for delivery in queue.taken)
            return False
        finally:
            free.append(queue)
        return True

    def _double(self, message: WaitingMessage) -> None:
        self._limits.spend("double")
        self._broker.store_again(self._consumers[message.service].queue, message.arrival)

    def _lose(self, message: WaitingMessage) -> None:
        self._limits.spend("lose")
        self._broker.lose(self._consumers[message.service].queue, message.arrival)

    def _crash_watcher(self, at: str) -> None:
        self._backend.crash(at, self._consume_all, self._watcher)


class _Publisher:
    """The relay's publisher, with the failpoints of the RabbitMQ adapter."""

    def __init__(self, broker: MemoryBroker, injection: FaultInjection) -> None:
        self._broker = broker
        self._injection = injection

    def publish(self, messages: Sequence[Message]) -> None:
        self._injection.reached(BEFORE_WRITE)
        self._broker.publish(messages)
        self._injection.reached(BEFORE_CONFIRM)


class _ScheduledQueue:
    """A subscription that never waits, and remembers its last deliveries."""

    def __init__(self, broker: MemoryBroker, queue: str) -> None:
        self.subscription = broker.subscribe(queue=queue, prefetch=PREFETCH)
        self.taken: list[Delivery] = []

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        self.taken = self.subscription.take(limit=limit, timeout=0)
        return self.taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.subscription, name)
