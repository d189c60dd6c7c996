"""Consumer and reactions: every message takes effect once, or is set aside with its reason."""

import threading
from datetime import timedelta

import msgspec
import pytest
from django.db import connections, transaction

from contracts import events
from inventario.models import OutboxEntry, ParkedMessage, Product
from inventario.reactions import REACTIONS
from messaging.brokers import Delivery, Message, Rejected
from messaging.consumer import Consumer, DatabaseUnavailable
from messaging.reactions import SagaReaction
from sagas import performing
from sagas.barrier import Entry
from tests.checkout.shop import eventually
from tests.integration.messaging.conftest import message_of
from tests.threads import InThread

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def consumer(broker):
    return Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)


def delivery(event):
    return Delivery(message=message_of(event), redelivered=False, tag=None)


def hear(consumer, *heard):
    consumer.handle([delivery(one) for one in heard])


def available(product):
    return Product.objects.get(pk=product.pk).available


def said():
    return list(OutboxEntry.objects.order_by("id").values_list("event_type", flat=True))


def test_batch_takes_effect_and_says_what_follows(consumer, initiated, product):
    hear(consumer, *[initiated() for _ in range(4)])
    assert available(product) == 6
    assert said() == [events.INVENTORY_RESERVED] * 4


def test_two_reactions_to_one_event_are_not_taken_for_one(broker):
    with pytest.raises(ValueError, match="two reactions of inventario hear the same event"):
        Consumer(service=SERVICE, broker=broker, reactions=[*REACTIONS, REACTIONS[0]])


@pytest.fixture
def may_not_declare(consumer, broker, monkeypatch):
    """The right to make queues is taken away once the consumer is at work, and missed at once."""
    monkeypatch.setattr("messaging.consumer.DECLARE_SECONDS", 0.0)
    declare, asked = broker.declare, []

    def refuse(**queue):
        asked.append(queue)
        if len(asked) > 1:
            raise Rejected("ACCESS_REFUSED - configure access is refused")
        declare(**queue)

    monkeypatch.setattr(broker, "declare", refuse)
    return asked


def test_queue_that_may_not_be_made_again_is_heard_all_the_same(
    consumer, broker, initiated, product, may_not_declare, monkeypatch
):
    monkeypatch.setattr("messaging.backoff.PASSING", timedelta())
    stop = threading.Event()
    at_work = InThread(lambda: consumer.run(stop), service=SERVICE)
    eventually(lambda: len(may_not_declare) > 2, what="it is refused")
    broker.publish([message_of(initiated())])
    eventually(lambda: available(product) == 9, what="the message is handled")
    (told,) = consumer.complaints()
    stop.set()
    at_work.result()
    assert "configure access is refused" in told.what
    assert not told.stops_sagas


def test_refusal_is_said_with_its_reason(consumer, initiated, product):
    hear(consumer, initiated(quantity=11))
    assert said() == [events.INVENTORY_RESERVE_FAILED]
    event = events.decode(OutboxEntry.objects.get().body.encode())
    assert (event.data.failure.step, event.data.failure.code) == (
        "reserve_inventory",
        "out_of_stock",
    )


def test_event_heard_again_does_and_says_nothing(consumer, initiated, product):
    event = initiated()
    hear(consumer, event)
    hear(consumer, event, event)
    assert available(product) == 9
    assert said() == [events.INVENTORY_RESERVED]


def test_without_the_barrier_it_would_be_done_twice(consumer, initiated, product, monkeypatch):
    """The control."""
    monkeypatch.setattr(
        performing.barrier,
        "enter",
        lambda *, operation, saga_ids: Entry(
            fresh=dict.fromkeys(saga_ids, 0), settled={}, known={}
        ),
    )
    # The reservation's own constraint is a second guard: it has to be off as well.
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("ALTER TABLE inventario_reservation DROP CONSTRAINT reservation_once_a_saga")
    event = initiated()
    try:
        hear(consumer, event)
        hear(consumer, event)
        assert available(product) == 8
    finally:
        with transaction.atomic(using=SERVICE), connections[SERVICE].cursor() as cursor:
            cursor.execute("TRUNCATE inventario_reservation CASCADE")
            cursor.execute(
                "ALTER TABLE inventario_reservation"
                " ADD CONSTRAINT reservation_once_a_saga UNIQUE (saga_id)"
            )


def test_nudge_says_the_stored_outcome_again_as_the_same_event(consumer, initiated, product):
    event = initiated()
    hear(consumer, event)
    hear(consumer, initiated(saga_id=event.saga_id, nudge=True))
    assert available(product) == 9
    first, again = OutboxEntry.objects.order_by("id")
    assert (first.event_id, first.event_type) == (again.event_id, again.event_type)
    assert events.decode(again.body.encode()).nudge


def test_database_that_is_gone_is_no_messages_fault(consumer, initiated, product, monkeypatch):
    event = initiated()

    def cut(self, heard):
        connections[SERVICE].cursor().execute("SELECT 1")
        connections[SERVICE].connection.close()
        connections[SERVICE].cursor().execute("SELECT 1")

    with monkeypatch.context() as away:
        away.setattr(SagaReaction, "handle", cut)
        with pytest.raises(DatabaseUnavailable):
            hear(consumer, event)
    connections[SERVICE].close()
    assert not ParkedMessage.objects.exists()
    hear(consumer, event)
    assert available(product) == 9


def test_database_that_is_back_already_is_no_messages_fault_either(
    consumer, initiated, monkeypatch
):
    def cut(self, heard):
        with transaction.atomic(using=SERVICE), connections[SERVICE].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(SagaReaction, "handle", cut)
    with pytest.raises(DatabaseUnavailable):
        hear(consumer, initiated())
    assert not ParkedMessage.objects.exists()


def test_messages_are_acked_only_after_their_commit(consumer, broker, initiated, monkeypatch):
    broker.declare(queue=consumer.queue, events=[events.CHECKOUT_INITIATED])
    broker.publish([message_of(initiated())])
    subscription = broker.subscribe(queue=consumer.queue, prefetch=10)

    def crash(self, heard):
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(SagaReaction, "handle", crash)
        with pytest.raises(KeyboardInterrupt):
            consumer._take_and_handle(subscription)
    subscription.close()
    assert broker.depths([consumer.queue]) == {consumer.queue: 1}
    again = broker.subscribe(queue=consumer.queue, prefetch=10)
    consumer._take_and_handle(again)
    assert broker.depths([consumer.queue]) == {consumer.queue: 0}
    assert said() == [events.INVENTORY_RESERVED]


def test_unknown_fields_of_an_event_are_ignored(consumer, initiated, product):
    fields = msgspec.json.decode(events.encode(initiated()))
    body = msgspec.json.encode({**fields, "colour": "new"})
    message = Message("m", "checkout.initiated", body)
    consumer.handle([Delivery(message=message, redelivered=False, tag=None)])
    assert available(product) == 9
