"""The queues of the services, as whoever decides what is heard next sees them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from checker.explorer.store import WouldWait
from checker.explorer.striking import Crashed, Strike
from contracts import events
from messaging.brokers import Delivery, Message
from messaging.brokers.memory import MemoryBroker, MemorySubscription
from messaging.consumer import Consumer

PREFETCH = 1_000
BEFORE_WRITE = "publisher.before_write"
BEFORE_CONFIRM = "publisher.before_confirm"


class Mouth:
    """A relay's way to the broker, with the points that the adapter of RabbitMQ has on it."""

    def __init__(self, *, broker: MemoryBroker, strike: Strike) -> None:
        self._broker = broker
        self._strike = strike

    def publish(self, messages: Sequence[Message]) -> None:
        self._strike.reached(BEFORE_WRITE)
        self._broker.publish(messages)
        self._strike.reached(BEFORE_CONFIRM)


class Waiting(NamedTuple):
    """A message in a service's queue; sorts by age."""

    arrival: int
    service: str
    message: Message

    def __str__(self) -> str:
        event = events.decode(self.message.body)
        nudge = " (a nudge)" if event.nudge else ""
        return f"{self.service} hears {event.type} of {event.saga_id}{nudge}"


class Ears:
    """What waits, and what becomes of it."""

    def __init__(
        self, *, broker: MemoryBroker, strike: Strike, consumers: Mapping[str, Consumer]
    ) -> None:
        self._broker = broker
        self._consumers = consumers
        self._queues = {service: one.queue for service, one in consumers.items()}
        for one in consumers.values():
            routes = sorted(events.route(saga, event) for saga, event in one.reactions)
            broker.declare(queue=one.queue, events=routes)
        self._free = {service: [_Ear(broker, one.queue)] for service, one in consumers.items()}
        self._strike = strike
        self._blocked: set[tuple[str, int]] = set()

    def clear(self) -> None:
        self._blocked.clear()

    def waiting(self) -> dict[str, list[Waiting]]:
        """What waits for each service, oldest first, but for what must wait for somebody else."""
        if not self._strike.depth:
            self._blocked.clear()
        queues = self._broker.waiting()
        found = {
            service: [Waiting(arrival, service, message) for arrival, message in queues[queue]]
            for service, queue in self._queues.items()
        }
        for service, arrival in self._blocked:
            found[service] = [one for one in found[service] if one.arrival != arrival]
        return found

    def hear(self, one: Waiting) -> bool:
        """The service takes this message, handles it and acks it; false where it crashed, or must
        wait for a transaction that is open: the message is back in its queue then.
        """
        ear = self._ear(one.service)
        ear.subscription.only = one.arrival
        return self._handle(one.service, ear)

    def hear_all(self, service: str) -> bool:
        """The same for all that waits, in one batch."""
        return self._handle(service, self._ear(service))

    def double(self, one: Waiting) -> None:
        self._broker.store_again(self._consumers[one.service].queue, one.arrival)

    def lose(self, one: Waiting) -> None:
        self._broker.lose(self._consumers[one.service].queue, one.arrival)

    def _ear(self, service: str) -> "_Ear":
        free = self._free[service]
        return free.pop() if free else _Ear(self._broker, self._consumers[service].queue)

    def _handle(self, service: str, ear: "_Ear") -> bool:
        try:
            self._consumers[service]._take_and_handle(ear)
        except Crashed:
            ear.drop()
            return False
        except WouldWait:
            self._blocked.update((service, one.tag) for one in ear.drop())
            return False
        finally:
            self._free[service].append(ear)
        return True


class _Ear:
    """A subscription (`messaging.brokers.Subscription`) that never waits, and may be cut."""

    def __init__(self, broker: MemoryBroker, queue: str) -> None:
        self.subscription: MemorySubscription = broker.subscribe(queue=queue, prefetch=PREFETCH)
        self._taken: list[Delivery] = []

    def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        self._taken = self.subscription.take(limit=limit, timeout=0)
        return self._taken

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.subscription.ack(deliveries)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        self.subscription.give_back(deliveries)

    def close(self) -> None:
        self.subscription.close()

    def drop(self) -> list[Delivery]:
        """The connection is lost: what was taken and not acknowledged goes back."""
        self.subscription.give_back(self._taken)
        return self._taken
