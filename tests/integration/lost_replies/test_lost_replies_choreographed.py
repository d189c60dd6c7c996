"""The charge happened, and its ack or its event's confirm was lost, a thousand times.

The real consumer and relay of pagos run in threads, as in its worker, on PostgreSQL; the broker
loses acks and confirms like a connection that is cut.
"""

import threading
import uuid
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from django.apps import apps

from contracts import events
from contracts.events import Event, Facts
from contracts.outcomes import Failure
from contracts.saga import Context
from messaging.brokers import BrokerUnavailable, Message, connect
from messaging.consumer import Consumer
from messaging.relay import Relay
from messaging.worker import Backoff
from pagos.models import OutboxEntry, Payment
from tests.integration.lost_replies.money import nets, no_guards
from tests.threads import InThread
from tests.waiting import eventually

REACTIONS = apps.get_app_config("pagos").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["pagos", "tarjetas"])

TOTAL = Decimal("19.90")
PUBLISHED = [
    f"checkout.{event}" for event in ("payment.processed", "payment.failed", "payment.refunded")
]


class Losing:
    """A broker whose connection breaks once for each message: after it was handled, before its ack
    arrives; and after it was stored, before its confirm arrives.
    """

    def __init__(self, broker) -> None:
        self._broker = broker
        self.acks_lost: Counter[str] = Counter()
        self.confirms_lost: Counter[str] = Counter()

    def __getattr__(self, name):
        return getattr(self._broker, name)

    def publish(self, messages) -> None:
        self._broker.publish(messages)
        self._lose(self.confirms_lost, [message.id for message in messages])

    def subscribe(self, *, queue, prefetch):
        subscription = self._broker.subscribe(queue=queue, prefetch=prefetch)
        ack = subscription.ack

        def lose_or_ack(deliveries):
            self._lose(self.acks_lost, [delivery.message.id for delivery in deliveries])
            ack(deliveries)

        subscription.ack = lose_or_ack
        return subscription

    def _lose(self, lost: Counter[str], ids: list[str]) -> None:
        if any(not lost[id_] for id_ in ids):
            lost.update(ids)
            raise BrokerUnavailable("cut")


class Choreography:
    """Pagos, between the events that it receives and those that it publishes."""

    def __init__(self) -> None:
        broker = connect(f"memory://{uuid.uuid4()}?seed=1&duplicate=0.02")
        broker.declare(queue="published", events=PUBLISHED)
        self.broker = Losing(broker)
        consumer = Consumer(service="pagos", broker=self.broker, reactions=REACTIONS)
        self._queue = consumer.queue
        broker.declare(
            queue=consumer.queue, events=[events.route(*key) for key in consumer.reactions]
        )
        self._publish = broker.publish
        self._stop = threading.Event()
        relay = Relay(service="pagos", broker=self.broker)
        self._threads = [
            InThread(lambda part=part: part.run(self._stop), service="pagos")
            for part in (consumer, relay)
        ]

    def receive(self, *received: Event) -> None:
        """Returns once pagos has handled and acked all events, and its own are sent."""
        self._publish([Message(event.id, event.route, events.encode(event)) for event in received])

        def settled() -> bool:
            waits = self.broker.depths([self._queue])[self._queue]
            return not waits and not OutboxEntry.objects.filter(sent_at=None).exists()

        eventually(settled, seconds=60, what="all is handled and published")

    def published(self) -> set[tuple[str, str]]:
        subscription = self.broker._broker.subscribe(queue="published", prefetch=10_000)
        taken = subscription.take(limit=10_000, timeout=0)
        decoded = [events.decode(delivery.message.body) for delivery in taken]
        return {(event.saga_id, event.type) for event in decoded}

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.result()


@pytest.fixture
def choreography(monkeypatch):
    """Reconnects at once after each loss: there are many here."""
    monkeypatch.setattr(Backoff, "pause", lambda self, error=None: 0.05)
    made = Choreography()
    yield made
    made.close()


def new_sagas(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def fact(event_type: str, saga_id: str, failure: Failure | None = None) -> Event:
    context = Context(
        saga="checkout",
        saga_id=saga_id,
        pattern="choreographed",
        subject="cart",
        data={
            "items": [{"product_id": "1", "quantity": 2}],
            "total_amount": str(TOTAL),
            "payment_method": "credit_card",
        },
    )
    return Event(
        id=events.event_id(saga_id=saga_id, step=event_type, direction="do"),
        type=event_type,
        saga_id=saga_id,
        saga="checkout",
        occurred_at=datetime.now(UTC),
        data=Facts(context=msgspec.Raw(msgspec.json.encode(context)), failure=failure),
    )


def reserved(saga_id: str) -> Event:
    return fact("inventory.reserved", saga_id)


def cancelled(saga_id: str) -> Event:
    return fact("order.cancelled", saga_id, Failure("commit_inventory", "stopped"))


def test_charge_whose_ack_and_confirm_are_lost_is_taken_once(choreography):
    saga_ids = new_sagas(500)
    choreography.receive(*[reserved(saga_id) for saga_id in saga_ids])
    assert set(choreography.broker.acks_lost) == {reserved(saga_id).id for saga_id in saga_ids}
    assert len(choreography.broker.confirms_lost) == len(saga_ids)
    assert nets() == dict.fromkeys(saga_ids, TOTAL)
    assert choreography.published() == {(saga_id, "payment.processed") for saga_id in saga_ids}


def test_charge_that_is_undone_is_given_back_once(choreography):
    saga_ids = new_sagas(250)
    choreography.receive(*[reserved(saga_id) for saga_id in saga_ids])
    choreography.receive(*[cancelled(saga_id) for saga_id in saga_ids])
    assert nets() == dict.fromkeys(saga_ids, Decimal(0))
    assert {(saga_id, "payment.refunded") for saga_id in saga_ids} <= choreography.published()


def test_charge_that_comes_after_its_undo_is_blocked(choreography):
    saga_ids = new_sagas(250)
    choreography.receive(*[cancelled(saga_id) for saga_id in saga_ids])
    choreography.receive(*[reserved(saga_id) for saga_id in saga_ids])
    assert not Payment.objects.exists()
    assert {(saga_id, "payment.refunded") for saga_id in saga_ids} <= choreography.published()


def test_control_without_the_guards_it_is_taken_twice(choreography, monkeypatch):
    saga_ids = new_sagas(20)
    with no_guards(monkeypatch):
        choreography.receive(*[reserved(saga_id) for saga_id in saga_ids])
        assert min(nets().values()) >= 2 * TOTAL
