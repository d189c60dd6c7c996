"""Messages that can't be handled are stored, retried, and dead-lettered in the end."""

import msgspec
import pytest
from django.apps import apps

from contracts import events
from inventario import operations
from inventario.models import FailedMessage, OutboxEntry, Product
from messaging import failed
from messaging.brokers import Delivery, Message
from messaging.consumer import Consumer
from participant.sql import execute
from tests.integration.messaging.conftest import message_of, receive

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def consumer(broker):
    return Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)


@pytest.fixture
def retry_all(consumer, due_now):
    """Makes all remaining attempts, without waiting."""

    def retry():
        for _ in failed.DELAYS:
            due_now()
            consumer.retry_failed()

    return retry


def available(product):
    return Product.objects.get(pk=product.pk).available


def published():
    return [
        events.decode(body.encode())
        for body in OutboxEntry.objects.order_by("id").values_list("body", flat=True)
    ]


def test_poison_message_harms_only_itself(consumer, initiated, product, poisoned):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, initiated(), poison, initiated())
    assert available(product) == 8
    row = FailedMessage.objects.get()
    assert (row.saga_id, row.status) == (poison.saga_id, "retrying")
    assert row.reason == "ValueError: the log of this service says more"


def test_words_of_the_database_reach_no_event_and_no_row(
    consumer, initiated, product, monkeypatch, retry_all, caplog
):
    def refuse(commands):
        execute(service=SERVICE, sql="INSERT INTO inventario_product (name) VALUES (NULL)")

    monkeypatch.setitem(operations.reserve.__dict__, "run", refuse)
    receive(consumer, initiated())
    retry_all()
    (parked,) = published()
    assert parked.type == "step.parked"
    texts = parked.data.failure.detail, FailedMessage.objects.get().reason
    assert texts == ("the database refuses it (23502)",) * 2
    assert "null value in column" in caplog.text


def test_failed_message_is_tried_again_and_handled(consumer, initiated, product, poisoned, due_now):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
    due_now()
    consumer.retry_failed()
    assert FailedMessage.objects.get().status == "handled"
    assert available(product) == 9


@pytest.mark.parametrize("together_with", [0, 2], ids=["alone", "in a batch"])
def test_message_that_never_succeeds_is_tried_five_times(
    consumer, initiated, product, poisoned, retry_all, due_now, together_with
):
    poison = initiated()
    with poisoned(poison.saga_id) as tries:
        receive(consumer, poison, *[initiated() for _ in range(together_with)])
        retry_all()
        assert len(tries) == 5
        due_now()
        assert consumer.retry_failed() == 0
    assert FailedMessage.objects.get().status == "dead_lettered"


def test_delays_between_the_tries_grow_beyond_a_second():
    assert list(failed.DELAYS) == sorted(set(failed.DELAYS))
    assert failed.DELAYS[-1] > failed.DELAYS[0] >= 1


def test_person_can_have_a_message_retried(consumer, initiated, product, poisoned, retry_all):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
        retry_all()
    parked = FailedMessage.objects.get()
    assert parked.status == "dead_lettered"
    failed.retry(service=SERVICE, ids=[parked.pk])
    consumer.retry_failed()
    assert FailedMessage.objects.get().status == "handled"
    assert available(product) == 9


def test_discarded_message_is_not_tried_again(consumer, initiated, poisoned, due_now):
    poison = initiated()
    with poisoned(poison.saga_id) as tries:
        receive(consumer, poison)
        failed.discard(service=SERVICE, ids=[FailedMessage.objects.get().pk])
        due_now()
        consumer.retry_failed()
    assert len(tries) == 1
    assert FailedMessage.objects.get().status == "discarded"


def test_giving_a_message_up_is_published_with_step_and_reason(
    consumer, initiated, product, poisoned, retry_all
):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
        assert published() == []
        retry_all()
    (event,) = published()
    assert (event.type, event.saga_id, event.cause_id) == (
        "step.parked",
        poison.saga_id,
        poison.id,
    )
    assert event.data.result == {"service": SERVICE, "event": "checkout.initiated"}
    assert event.data.failure.step == "reserve_inventory"
    assert "ValueError" in event.data.failure.detail


def test_message_received_again_is_kept_once(consumer, initiated, product, poisoned):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
        receive(consumer, poison)
    assert FailedMessage.objects.count() == 1


def test_redrive_of_a_message_that_is_being_retried_costs_no_attempt(
    consumer, initiated, product, poisoned
):
    poison = initiated()
    with poisoned(poison.saga_id) as tries:
        receive(consumer, poison)
        receive(consumer, initiated(saga_id=poison.saga_id, redrive=True))
    assert len(tries) == 1
    assert FailedMessage.objects.get().attempts == 1


def test_redrive_of_a_parked_message_handles_it_after_all(
    consumer, initiated, product, poisoned, retry_all
):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
        retry_all()
    receive(consumer, initiated(saga_id=poison.saga_id, redrive=True))
    assert available(product) == 9
    assert FailedMessage.objects.get().status == "handled"


def test_redrive_that_faults_as_well_has_the_parked_message_tried_again(
    consumer, initiated, product, poisoned, retry_all
):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
        retry_all()
        receive(consumer, initiated(saga_id=poison.saga_id, redrive=True))
    row = FailedMessage.objects.get()
    assert (row.status, row.attempts) == ("retrying", 1)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{}", b'{"id": 1}'])
def test_unreadable_message_is_parked(consumer, body):
    consumer.handle([Delivery(Message("m", "checkout.checkout.initiated", body), False, None)])
    parked = FailedMessage.objects.get()
    assert (parked.status, bytes(parked.body)) == ("dead_lettered", body)


@pytest.mark.parametrize("name", ["m" * 300, "nu\0l"], ids=["too long", "with a NUL"])
def test_message_with_an_impossible_name_is_parked_and_stops_no_other(
    consumer, initiated, product, name
):
    """Text that the tables can't hold must not fault again and again at the head of the queue."""
    strange = initiated(saga_id=name)
    wild = Message(name, name, b"{")
    consumer.handle(
        [
            Delivery(message, False, None)
            for message in (message_of(strange), wild, message_of(initiated()))
        ]
    )
    assert FailedMessage.objects.count() == 2
    assert available(product) == 9


def test_message_whose_context_is_of_another_saga_is_dead_lettered(consumer, initiated, product):
    odd = msgspec.structs.replace(initiated(), saga_id="another")
    receive(consumer, odd, initiated())
    assert available(product) == 9
    assert "its context is of the checkout" in FailedMessage.objects.get().reason
