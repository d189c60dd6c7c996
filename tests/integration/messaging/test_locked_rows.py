"""A locked row, and a database that can't work: neither is a message's fault."""

import threading
import time
from contextlib import contextmanager

import psycopg
import pytest
from django.apps import apps
from django.db import OperationalError, connections, transaction

from inventario.models import FailedMessage, Product
from messaging import consumer as consumer_module
from messaging.brokers import BrokerUnavailable
from messaging.components import make_topology
from messaging.consumer import Consumer, DatabaseUnavailable
from participant import sql, stale_connections
from tests.integration.messaging.conftest import message_of, receive
from tests.threads import Hurried, InThread
from tests.waiting import eventually

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def consumer(broker):
    return Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)


@pytest.fixture
def patient():
    """Statements wait a second for a lock, as in a process of the service."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("SET lock_timeout = '1s'")
    yield
    connections[SERVICE].close()


@pytest.fixture
def of_product(initiated, product, monkeypatch):
    """Makes a first event about another product."""

    def make(number):
        other = Product.objects.get_or_create(
            sku=f"other {number}",
            defaults={"name": "Chair", "price": "10.00", "initial": 10, "available": 10},
        )[0]
        monkeypatch.setattr(product, "pk", other.pk)
        return initiated()

    return make


@contextmanager
def held(row):
    """A forgotten transaction in psql holds the row."""
    ready, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic(using=SERVICE):
            list(type(row).objects.select_for_update().filter(sku=row.sku))
            ready.set()
            assert done.wait(60)

    thread = InThread(hold, service=SERVICE)
    assert ready.wait(10)
    try:
        yield
    finally:
        done.set()
        thread.result()


def sold(number):
    product = Product.objects.get(sku=f"other {number}")
    return 10 - product.available


def test_others_go_on_while_one_product_is_locked(consumer, of_product, patient):
    first, second = of_product(1), [of_product(2) for _ in range(5)]
    with held(Product.objects.get(sku="other 1")):
        started = time.monotonic()
        receive(consumer, second[0], first, *second[1:])
        assert time.monotonic() - started < 2.5
        assert sold(2) == 5
        row = FailedMessage.objects.get()
        assert (row.saga_id, row.status, row.attempts) == (first.saga_id, "retrying", 0)


def test_while_a_row_is_locked_no_batch_waits_long_for_it_again(consumer, of_product, patient):
    batches = [[of_product(1), of_product(2)] for _ in range(5)]
    with held(Product.objects.get(sku="other 1")):
        receive(consumer, *batches[0])
        started = time.monotonic()
        for batch in batches[1:]:
            receive(consumer, *batch)
        assert time.monotonic() - started < 3.0
        assert sold(2) == 5


def test_control_without_impatience_each_batch_waits_a_second(
    consumer, of_product, patient, monkeypatch
):
    monkeypatch.setattr(consumer_module, "IMPATIENT_SECONDS", -1.0)
    batches = [[of_product(1), of_product(2)] for _ in range(3)]
    with held(Product.objects.get(sku="other 1")):
        started = time.monotonic()
        for batch in batches:
            receive(consumer, *batch)
        assert time.monotonic() - started > 3.0


def test_locked_out_message_is_tried_for_ever_and_then_handled(
    consumer, of_product, patient, due_now
):
    event = of_product(1)
    with held(Product.objects.get(sku="other 1")):
        receive(consumer, event)
        for _ in range(8):
            due_now()
            assert consumer.retry_failed() == 1
        assert FailedMessage.objects.get().attempts == 0
    due_now()
    consumer.retry_failed()
    assert FailedMessage.objects.get().status == "handled"
    assert sold(1) == 1


def test_distance_grows_with_the_time_it_waits(consumer, of_product, patient, due_now):
    event = of_product(1)
    with held(Product.objects.get(sku="other 1")):
        receive(consumer, event)
        distances = []
        for waited in (0, 3, 60):
            with connections[SERVICE].cursor() as cursor:
                cursor.execute(
                    "UPDATE inventario_failedmessage"
                    " SET failed_at = now() - make_interval(secs => %s)",
                    [waited],
                )
                due_now()
                consumer.retry_failed()
                cursor.execute(
                    "SELECT extract(epoch FROM next_attempt_at - now())"
                    " FROM inventario_failedmessage"
                )
                distances.append(round(cursor.fetchone()[0]))
    assert distances == [1, 3, 8]


def test_control_counted_as_an_attempt_it_would_wait_for_a_person(
    consumer, of_product, patient, due_now, monkeypatch
):
    monkeypatch.setattr(sql, "is_busy", lambda error: False)
    event = of_product(1)
    with held(Product.objects.get(sku="other 1")):
        receive(consumer, event)
        for _ in range(4):
            due_now()
            consumer.retry_failed()
        assert FailedMessage.objects.get().status == "dead_lettered"


@pytest.fixture
def read_only():
    """A standby answers, or a primary that was fenced off: reads, and no writes."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    yield
    connections[SERVICE].close()


def test_database_that_takes_no_writes_fails_no_message(consumer, initiated, product, read_only):
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        receive(consumer, initiated(), initiated())
    connections[SERVICE].close()
    assert not FailedMessage.objects.exists()


def test_outage_while_a_message_is_retried_counts_no_attempt(
    consumer, initiated, poisoned, due_now, monkeypatch
):
    poison = initiated()
    with poisoned(poison.saga_id):
        receive(consumer, poison)
    due_now()

    def gone(event):
        raise OperationalError from psycopg.errors.ReadOnlySqlTransaction()

    monkeypatch.setattr(consumer, "_handle_one", gone)
    with pytest.raises(DatabaseUnavailable):
        consumer.retry_failed()
    assert FailedMessage.objects.get().attempts == 1


def test_connection_that_met_an_outage_is_replaced_although_it_answers(
    consumer, broker, initiated, product, monkeypatch
):
    """A kept connection of a server that was failed over answers a ping, and no statement."""
    monkeypatch.setattr(stale_connections, "mark_read_only", lambda: None)  # keeps this connection
    broker.declare(queue=consumer.queue, events=["checkout.checkout.initiated"])
    broker.publish([message_of(initiated())])
    stop = Hurried()

    def run():
        with connections[SERVICE].cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        consumer.run(stop)

    thread = InThread(run, service=SERVICE)
    eventually(lambda: Product.objects.get(pk=product.pk).available == 9, what="it is handled")
    stop.set()
    thread.result()
    assert len(stop.pauses) == 1


def test_complains_in_the_brokers_own_words_until_it_receives_again(broker):
    consumer = Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)
    stop = threading.Event()
    thread = InThread(lambda: consumer.run(stop), service=SERVICE)
    eventually(lambda: bool(consumer.complaints()), what="it complains")
    (complaint,) = consumer.complaints()
    assert "no queue 'dueto.inventario'" in complaint.what
    assert "manage.py topology" in complaint.do
    make_topology(broker=broker)
    eventually(lambda: not consumer.complaints(), what="it hears again")
    stop.set()
    thread.result()


def test_complains_of_nothing_that_passes_at_once(broker):
    consumer = Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)
    consumer._backoff.pause(BrokerUnavailable("restarted"))
    assert consumer.complaints() == []
