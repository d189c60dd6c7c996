"""The worker of a service, without a thread: its consumer and relay, one batch at a time."""

from collections.abc import Callable

from django.apps import apps
from django.db import connections

from contracts import events
from messaging.brokers import Broker
from messaging.consumer import Consumer
from messaging.relay import Relay
from tests.seeded.in_process import Killed

PREFETCH = 200


class Worker:
    """Has the service's reactions as they are when it starts."""

    def __init__(self, *, service: str, broker: Broker) -> None:
        self.service = service
        self._broker = broker
        self._is_dead = False
        self._relay = Relay(service=service, broker=broker)
        self._start()

    def relay(self) -> int:
        return self._relay.relay_once()

    def consume(self) -> int:
        """One batch; a consumer that is killed, or crashes, leaves its unacknowledged messages."""
        if self._is_dead:
            return 0
        before = self._consumed()
        try:
            self._consumer._take_and_handle(self._subscription)
        except (Killed, ValueError):
            self._subscription.close()
            self._start()
            return 1
        return self._consumed() - before

    def retry_failed(self) -> int:
        """Retries all failed messages, without their delays; returns how many there were."""
        with connections[self.service].cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.service}_failedmessage SET next_attempt_at = now()"
                " WHERE status = 'retrying'"
            )
        return self._consumer.retry_failed()

    def kill(self) -> None:
        """Kills the process from within: its consumer stays dead until `revive`."""
        self._is_dead = True
        raise Killed

    def revive(self) -> None:
        self._is_dead = False

    def take_away(self) -> Callable[[], None]:
        """Takes the first message of its queue; the returned function gives it back."""
        subscription = self._broker.subscribe(queue=self._consumer.queue, prefetch=1)
        taken = subscription.take(limit=1, timeout=0)
        return lambda: subscription.give_back(taken)

    def lose(self) -> None:
        """Loses the first message of its queue."""
        subscription = self._broker.subscribe(queue=self._consumer.queue, prefetch=1)
        subscription.ack(subscription.take(limit=1, timeout=0))

    def beside(self) -> "Worker":
        """Another worker of the same service."""
        return Worker(service=self.service, broker=self._broker)

    def close(self) -> None:
        """Returns the messages that it has taken and not acked to the queue."""
        self._subscription.close()

    def _start(self) -> None:
        reactions = apps.get_app_config(self.service).reactions()
        self._consumer = Consumer(service=self.service, broker=self._broker, reactions=reactions)
        queue = self._consumer.queue
        routes = sorted(events.route(saga, event) for saga, event in self._consumer.reactions)
        self._broker.declare(queue=queue, events=routes)
        self._subscription = self._broker.subscribe(queue=queue, prefetch=PREFETCH)

    def _consumed(self) -> int:
        return self._consumer.counters().get("messages_consumed", 0)
