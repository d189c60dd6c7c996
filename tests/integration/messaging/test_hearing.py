"""Consumer and reactions: every message takes effect once, or is stored with its reason."""

import msgspec
import pytest
from django.apps import apps
from django.db import connections, transaction

from contracts import events
from inventario.models import FailedMessage, OutboxEntry, Product
from messaging.brokers import Delivery, Message
from messaging.consumer import Consumer, DatabaseUnavailable
from messaging.handlers import EventHandler
from participant import barrier, executing
from participant.barrier import Entered
from tests.integration.messaging.conftest import message_of, receive

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def consumer(broker):
    return Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)


def available(product):
    return Product.objects.get(pk=product.pk).available


def published():
    return list(OutboxEntry.objects.order_by("id").values_list("event_type", flat=True))


def test_batch_takes_effect_and_publishes_what_follows(consumer, initiated, product):
    receive(consumer, *[initiated() for _ in range(4)])
    assert available(product) == 6
    assert published() == ["checkout.inventory.reserved"] * 4


def test_two_reactions_to_one_event_are_not_taken_for_one(broker):
    with pytest.raises(ValueError, match="two reactions of inventario are to the same event"):
        Consumer(service=SERVICE, broker=broker, reactions=[*REACTIONS, REACTIONS[0]])


def test_refusal_is_published_with_its_reason(consumer, initiated, product):
    receive(consumer, initiated(quantity=11))
    assert published() == ["checkout.inventory.reserve.failed"]
    event = events.decode(OutboxEntry.objects.get().body.encode())
    assert (event.data.failure.step, event.data.failure.code) == (
        "reserve_inventory",
        "out_of_stock",
    )


def test_event_received_again_does_and_publishes_nothing(consumer, initiated, product):
    event = initiated()
    receive(consumer, event)
    receive(consumer, event, event)
    assert available(product) == 9
    assert published() == ["checkout.inventory.reserved"]


def test_without_the_barrier_it_would_be_done_twice(consumer, initiated, product, monkeypatch):
    """The control."""
    monkeypatch.setattr(
        executing.barrier,
        "enter",
        lambda *, operation, commands: Entered(
            fresh={barrier.key_of(operation, command): 0 for command in commands},
            settled={},
            known={},
        ),
    )
    # The reservation's own constraint is a second guard: it has to be off as well.
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("ALTER TABLE inventario_reservation DROP CONSTRAINT reservation_once_a_step")
    event = initiated()
    try:
        receive(consumer, event)
        receive(consumer, event)
        assert available(product) == 8
    finally:
        with transaction.atomic(using=SERVICE), connections[SERVICE].cursor() as cursor:
            cursor.execute("TRUNCATE inventario_reservation CASCADE")
            cursor.execute(
                "ALTER TABLE inventario_reservation"
                " ADD CONSTRAINT reservation_once_a_step UNIQUE (saga_id, step)"
            )


def test_redrive_publishes_the_stored_outcome_again_as_the_same_event(consumer, initiated, product):
    event = initiated()
    receive(consumer, event)
    receive(consumer, initiated(saga_id=event.saga_id, redrive=True))
    assert available(product) == 9
    first, again = OutboxEntry.objects.order_by("id")
    assert (first.event_id, first.event_type) == (again.event_id, again.event_type)
    assert events.decode(again.body.encode()).redrive


def test_known_sagas_event_that_means_nothing_here_is_acked_and_counted(
    consumer, broker, initiated, product
):
    """An old binding of the queue may deliver it."""
    queue, event = consumer.queue, msgspec.structs.replace(initiated(), type="order.cancelled")
    broker.declare(queue=queue, events=["checkout.checkout.initiated", event.route])
    broker.publish([message_of(event), message_of(initiated())])
    subscription = broker.subscribe(queue=queue, prefetch=10)
    consumer._take_and_handle(subscription)
    assert broker.depths([queue]) == {queue: 0}
    assert consumer.counters()["messages_of_no_use"] == 1
    assert published() == ["checkout.inventory.reserved"]
    assert not FailedMessage.objects.exists()


@pytest.mark.parametrize("change", [{"saga": "unknown"}, {"type": "unknown.event"}])
def test_event_that_no_definition_knows_is_parked(consumer, initiated, product, change):
    receive(consumer, msgspec.structs.replace(initiated(), **change), initiated())
    parked = FailedMessage.objects.get()
    assert (parked.status, parked.saga_id) == ("dead_lettered", "")
    assert next(iter(change.values())) in parked.reason
    assert "messages_of_no_use" not in consumer.counters()
    assert available(product) == 9


def test_event_of_each_step_and_direction_has_an_id_of_its_own(
    consumer, initiated, product, saying
):
    event = initiated()
    undone = msgspec.structs.replace(event, id="u", type="payment.failed")
    (first,) = saying(lambda: receive(consumer, event))
    (second,) = saying(lambda: receive(consumer, undone))
    (again,) = saying(
        lambda: receive(consumer, msgspec.structs.replace(undone, id="v", redrive=True))
    )
    assert first.event_id != second.event_id
    assert again.event_id == second.event_id


@pytest.fixture
def saying():
    """The events that are published in the block."""

    def saying(done):
        before = set(OutboxEntry.objects.values_list("pk", flat=True))
        done()
        return list(OutboxEntry.objects.exclude(pk__in=before).order_by("pk"))

    return saying


def test_database_that_is_gone_is_no_messages_fault(consumer, initiated, product, monkeypatch):
    event = initiated()

    def cut(self, received):
        connections[SERVICE].cursor().execute("SELECT 1")
        connections[SERVICE].connection.close()
        connections[SERVICE].cursor().execute("SELECT 1")

    with monkeypatch.context() as away:
        away.setattr(EventHandler, "handle", cut)
        with pytest.raises(DatabaseUnavailable):
            receive(consumer, event)
    connections[SERVICE].close()
    assert not FailedMessage.objects.exists()
    receive(consumer, event)
    assert available(product) == 9


def test_database_that_is_back_already_is_no_messages_fault_either(
    consumer, initiated, monkeypatch
):
    def cut(self, received):
        with transaction.atomic(using=SERVICE), connections[SERVICE].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(EventHandler, "handle", cut)
    with pytest.raises(DatabaseUnavailable):
        receive(consumer, initiated())
    assert not FailedMessage.objects.exists()


def test_messages_are_acked_only_after_their_commit(consumer, broker, initiated, monkeypatch):
    broker.declare(queue=consumer.queue, events=["checkout.checkout.initiated"])
    broker.publish([message_of(initiated())])
    subscription = broker.subscribe(queue=consumer.queue, prefetch=10)

    def crash(self, received):
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(EventHandler, "handle", crash)
        with pytest.raises(KeyboardInterrupt):
            consumer._take_and_handle(subscription)
    subscription.close()
    assert broker.depths([consumer.queue]) == {consumer.queue: 1}
    again = broker.subscribe(queue=consumer.queue, prefetch=10)
    consumer._take_and_handle(again)
    assert broker.depths([consumer.queue]) == {consumer.queue: 0}
    assert published() == ["checkout.inventory.reserved"]


def test_unknown_fields_of_an_event_are_ignored(consumer, initiated, product):
    fields = msgspec.json.decode(events.encode(initiated()))
    body = msgspec.json.encode({**fields, "colour": "new"})
    message = Message("m", "checkout.checkout.initiated", body)
    consumer.handle([Delivery(message=message, redelivered=False, tag=None)])
    assert available(product) == 9
