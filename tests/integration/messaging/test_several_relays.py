"""Several worker processes of a service: their relays share its outbox, each saga's events keep
their order, and what one had that dies is sent by the others. Several consumers share its queue.
"""

import os
import subprocess
import sys
import threading
import uuid
from contextlib import ExitStack
from time import monotonic

import msgspec
import psycopg
import pytest
from django.db import connections, transaction

from messaging import consumer as consumer_module
from messaging import outbox
from messaging.brokers import Message, connect
from messaging.brokers.latency import LatencyBroker
from messaging.consumer import Consumer
from tests.integration.httpapi.conftest import ROOT, database_url
from tests.integration.messaging.conftest import message_of
from tests.threads import InThread
from tests.waiting import eventually

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["inventario"]),
    pytest.mark.undocumented("messages"),
]
SERVICE = "inventario"
SAGAS = 61
WITHIN_SECONDS = 5.0
RELAY = """
import signal, sys, threading, django
django.setup()
from messaging import outbox, relay
from messaging.brokers import connect
from messaging.brokers.latency import LatencyBroker
from messaging.wakeups import Listener

_, url, namespace, seconds, batch, number = sys.argv
relay.BATCH, outbox.PARTITION_SQL = int(batch), number
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
threading.Thread(target=Listener(service="inventario").run, args=[stop], daemon=True).start()
broker = LatencyBroker(connect(url, namespace=namespace), seconds=float(seconds))
running = threading.Thread(
    target=relay.Relay(service="inventario", broker=broker).run, args=[stop], daemon=True
)
running.start()
running.join()
broker.close()
"""


class Relays:
    """Relays as processes, and the queue that they send to."""

    def __init__(self, processes):
        self._processes = processes
        self._url = database_url(SERVICE)
        self._namespace = f"test-{uuid.uuid4().hex[:8]}."
        self.broker = connect(self._url, namespace=self._namespace)
        self.broker.declare(queue="everything", events=["checkout.checkout.initiated"])

    def start(self, *, seconds=0.0, batch=500, number=outbox.PARTITION_SQL):
        environment = os.environ | {
            "DUETO_SERVICE": SERVICE,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "INVENTARIO_DATABASE_URL": self._url,
        }
        arguments = (self._url, self._namespace, str(seconds), str(batch), number)
        process = subprocess.Popen(
            [sys.executable, "-c", RELAY, *arguments], cwd=ROOT, env=environment
        )
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process

    def share(self, *counts):
        """Returns once the relays have these numbers of partitions."""
        what = f"they share it as {counts}"
        eventually(lambda: self._held() == sorted(counts), seconds=90, what=what)

    def _held(self):
        with connections[SERVICE].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FILTER (WHERE objid::bigint < %s) FROM pg_locks"
                " WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
                " AND classid::bigint = (hashtext(%s)::bigint & 4294967295)"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " GROUP BY pid ORDER BY 1",
                [outbox.PARTITIONS, f"dueto {SERVICE} relay"],
            )
            return [count for (count,) in cursor.fetchall()]

    def received(self):
        """The ids that were sent so far, in the order of their first arrival."""
        subscription = self.broker.subscribe(queue="everything", prefetch=100_000)
        taken = subscription.take(limit=100_000, timeout=0.5)
        subscription.close()
        return list(dict.fromkeys(delivery.message.id for delivery in taken))

    def close(self):
        self.broker.close()
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{self._namespace}dueto_broker" CASCADE')


@pytest.fixture
def relays():
    with ExitStack() as processes:
        made = Relays(processes)
        processes.callback(made.close)
        yield made


@pytest.fixture
def commit(initiated):
    """Commits an event of each of these sagas, in order; returns the number of events so far."""
    first, committed = initiated(), []

    def make(sagas):
        events = [
            msgspec.structs.replace(first, id=f"{saga} {len(committed) + place}", saga_id=saga)
            for place, saga in enumerate(sagas)
        ]
        committed.extend(events)
        with transaction.atomic(using=SERVICE):
            outbox.add(service=SERVICE, events=events)
        return len(committed)

    return make


def unsent():
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM inventario_outboxentry WHERE sent_at IS NULL")
        return cursor.fetchone()[0]


def names():
    return [uuid.uuid4().hex for _ in range(SAGAS)]


def in_order(ids):
    """Whether the events of each saga came in the order of their commits."""
    by_saga = {}
    for saga, _, number in (name.partition(" ") for name in ids):
        by_saga.setdefault(saga, []).append(int(number))
    return all(numbers == sorted(numbers) for numbers in by_saga.values())


def test_events_of_a_saga_keep_their_order_while_relays_come_and_go(relays, commit):
    sagas = names()
    first = relays.start()
    relays.share(12)
    commit(sagas)
    second = relays.start(seconds=0.02)
    changes = [
        lambda: relays.share(6, 6),
        relays.start,
        lambda: relays.share(4, 4, 4),
        second.kill,
        lambda: relays.share(6, 6),
        first.terminate,
        lambda: relays.share(12),
    ]
    for change in changes:
        for _ in range(10):
            count = commit(sagas)
        change()
        for _ in range(10):
            count = commit(sagas)
    eventually(lambda: unsent() == 0, what="all is sent")
    received = relays.received()
    assert len(received) == count
    assert in_order(received)


def test_shared_out_by_event_they_would_not(relays, commit):
    """The control: two relays, of which one is slower, and no partition has all of a saga."""
    sagas = names()
    by_event = f"mod(id, {outbox.PARTITIONS})"
    relays.start(number=by_event)
    relays.start(number=by_event, seconds=0.1)
    relays.share(6, 6)
    for _ in range(30):
        commit(sagas)
    eventually(lambda: unsent() == 0, what="all is sent")
    assert not in_order(relays.received())


def test_what_a_killed_relay_had_is_sent_by_the_others_within_five_seconds(relays, commit):
    killed, *_ = [relays.start() for _ in range(3)]
    relays.share(4, 4, 4)
    killed.kill()
    since = monotonic()
    commit(names() * 5)
    eventually(lambda: unsent() == 0, what="all is sent")
    assert monotonic() - since < WITHIN_SECONDS


def test_stopped_relay_leaves_nothing_that_is_sent_again(relays, commit):
    leaving, _ = relays.start(), relays.start()
    relays.share(6, 6)
    for _ in range(20):
        count = commit(names())
    leaving.terminate()
    for _ in range(20):
        count = commit(names())
    assert leaving.wait(10) == 0
    eventually(lambda: unsent() == 0, what="all is sent")
    assert relays.broker.depths(["everything"]) == {"everything": count}, "each was sent once"


def seconds_to_send(relays, commit, *, count):
    """With relays that wait 0.2 s for the confirms of each 50 events: not for the processor."""
    started = [relays.start(seconds=0.1, batch=50) for _ in range(count)]
    relays.share(*[outbox.PARTITIONS // count] * count)
    since = monotonic()
    commit(names() * 30)
    eventually(lambda: unsent() == 0, what="all is sent")
    took = monotonic() - since
    for process in started:
        process.terminate()
        process.wait()
    return took


def test_two_relays_send_1_8_times_as_much_where_they_wait_for_confirms(
    relays, commit, record_property
):
    alone = seconds_to_send(relays, commit, count=1)
    together = seconds_to_send(relays, commit, count=2)
    record_property("relays", f"one {alone:.2f} s, two {together:.2f} s")
    assert alone / together >= 1.8


class Counting:
    """A reaction that costs nothing."""

    saga, on, group, step = "checkout", "checkout.initiated", "counting", ""

    def __init__(self):
        self.handled = []

    def handle(self, received):
        self.handled.extend(event.id for event in received)


@pytest.fixture
def consumed(relays, initiated):
    """Seconds that these consumers take for 500 messages that are 0.4 s away; each holds 20."""

    def make(*, count):
        queue = f"dueto.{SERVICE}"
        relays.broker.declare(queue=queue, events=["checkout.checkout.initiated"])
        messages = [message_of(initiated()) for _ in range(500)]
        relays.broker.publish(
            [Message(message.id, message.type, message.body) for message in messages]
        )
        reaction, stop = Counting(), threading.Event()
        far = LatencyBroker(relays.broker, seconds=0.4)
        consumers = [
            Consumer(service=SERVICE, broker=far, reactions=[reaction]) for _ in range(count)
        ]
        since = monotonic()
        running = [
            InThread(lambda consumer=consumer: consumer.run(stop), service=SERVICE)
            for consumer in consumers
        ]
        eventually(lambda: len(reaction.handled) >= 500, what="all are handled")
        took = monotonic() - since
        stop.set()
        for thread in running:
            thread.result()
        assert sorted(reaction.handled) == sorted(message.id for message in messages)
        return took

    return make


def test_two_consumers_take_1_8_times_as_much_where_the_broker_is_far(
    consumed, monkeypatch, record_property
):
    monkeypatch.setattr(consumer_module, "PREFETCH", 20)
    alone, together = consumed(count=1), consumed(count=2)
    record_property("consumers", f"one {alone:.2f} s, two {together:.2f} s")
    assert alone / together >= 1.8
