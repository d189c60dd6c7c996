"""Outbox and relay: exactly the committed events are published, until they are confirmed."""

import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import connections, transaction

from inventario.models import OutboxEntry
from messaging import outbox, wakeups
from messaging import relay as relay_module
from messaging.brokers import BrokerUnavailable
from messaging.relay import Relay
from tests.threads import InThread
from tests.waiting import eventually

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["inventario"]),
    pytest.mark.undocumented("messages"),
]
SERVICE = "inventario"


@pytest.fixture
def relay(broker):
    broker.declare(queue="everything", events=["checkout.checkout.initiated"])
    return Relay(service=SERVICE, broker=broker)


def commit(*added):
    with transaction.atomic(using=SERVICE):
        outbox.add(service=SERVICE, events=added)


def received(broker):
    """The ids of the messages in the queue, in order."""
    subscription = broker.subscribe(queue="everything", prefetch=1000)
    taken = subscription.take(limit=1000, timeout=0)
    subscription.ack(taken)
    return [delivery.message.id for delivery in taken]


def test_event_of_a_transaction_that_rolls_back_is_never_published(relay, broker, initiated):
    def fault():
        with transaction.atomic(using=SERVICE):
            outbox.add(service=SERVICE, events=[initiated()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fault()
    assert relay.relay_once() == 0
    assert received(broker) == []


def test_events_are_published_in_order_and_marked(relay, broker, initiated):
    committed = [initiated() for _ in range(5)]
    commit(*committed)
    relay.relay_once()
    assert received(broker) == [event.id for event in committed]
    assert not OutboxEntry.objects.filter(sent_at=None).exists()
    assert relay.relay_once() == 0


def test_sent_is_when_the_broker_was_given_it_not_when_it_confirmed(
    relay, broker, initiated, monkeypatch
):
    commit(initiated())
    publish, given_at = broker.publish, []

    def confirm_late(messages):
        given_at.append(datetime.now(UTC))
        publish(messages)
        eventually(lambda: datetime.now(UTC) > given_at[0] + timedelta(milliseconds=50))

    monkeypatch.setattr(broker, "publish", confirm_late)
    relay.relay_once()
    assert OutboxEntry.objects.get().sent_at <= given_at[0]


def test_unconfirmed_events_are_kept_and_published_later(relay, broker, initiated, monkeypatch):
    event = initiated()
    commit(event)

    def cut(messages):
        raise BrokerUnavailable("cut")

    with monkeypatch.context() as away:
        away.setattr(broker, "publish", cut)
        with pytest.raises(BrokerUnavailable):
            relay.relay_once()
    assert OutboxEntry.objects.filter(sent_at=None).count() == 1
    relay.relay_once()
    assert received(broker) == [event.id]


def test_crash_after_the_confirm_publishes_twice_rather_than_never(
    relay, broker, initiated, monkeypatch
):
    event = initiated()
    commit(event)

    def crash(**_):
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(outbox, "mark_sent", crash)
        with pytest.raises(KeyboardInterrupt):
            relay.relay_once()
    Relay(service=SERVICE, broker=broker).relay_once()
    assert received(broker) == [event.id, event.id]


def test_unroutable_event_is_kept_and_holds_up_no_other(relay, broker, initiated):
    unroutable = msgspec.structs.replace(initiated(), id="unroutable", type="unbound.event")
    other = initiated()
    commit(unroutable, other)
    relay.relay_once()
    assert received(broker) == [other.id]
    assert list(OutboxEntry.objects.filter(sent_at=None).values_list("event_id", flat=True)) == [
        "unroutable"
    ]


def late_commit(initiated, relay):
    """An entry with an early id commits after a later one was relayed."""
    early, late = initiated(), initiated()
    with transaction.atomic(using=SERVICE):
        outbox.add(service=SERVICE, events=[early])
        InThread(lambda: (commit(late), relay()), service=SERVICE).result()
    relay()
    return early, late


def test_entry_that_commits_late_is_not_skipped(relay, broker, initiated):
    early, late = late_commit(initiated, relay.relay_once)
    assert sorted(received(broker)) == sorted([early.id, late.id])


def test_relay_by_last_id_would_skip_it(broker, initiated):
    """The control: why `unsent` does not start after the last id seen."""
    seen = [0]
    relayed = []

    def relay_after_last_id():
        with connections[SERVICE].cursor() as cursor:
            cursor.execute(
                "SELECT id, event_id FROM inventario_outboxentry WHERE id > %s ORDER BY id", seen
            )
            for entry_id, event_id in cursor.fetchall():
                seen[0] = entry_id
                relayed.append(event_id)

    _early, late = late_commit(initiated, relay_after_last_id)
    assert relayed == [late.id]


@pytest.fixture
def running(relay):
    """The relay in a thread, as a worker runs it."""
    stop = threading.Event()
    thread = InThread(lambda: relay.run(stop), service=SERVICE)
    eventually(lambda: SERVICE in outbox._new_rows, what="the relay leads")
    yield relay
    stop.set()
    wakeups.notify(service=SERVICE, channel=outbox.CHANNEL)  # it may be waiting for the next sweep
    thread.result()


def all_sent(count):
    def look():
        return OutboxEntry.objects.exclude(sent_at=None).count() == count

    eventually(look, what=f"{count} events are sent")


def test_what_this_process_commits_is_sent_without_asking_for_it(
    running, broker, initiated, monkeypatch
):
    commit(initiated())
    all_sent(1)
    looks = []
    look = outbox.unsent
    monkeypatch.setattr(outbox, "unsent", lambda **asking: looks.append(1) or look(**asking))
    monkeypatch.setattr(relay_module, "SWEEP_SECONDS", 60.0)
    wakeups.notify(service=SERVICE, channel=outbox.CHANNEL)
    eventually(lambda: looks, what="it sweeps, and then not for a minute")
    commit(initiated())
    all_sent(2)
    looks.clear()
    committed = [initiated() for _ in range(20)]
    for event in committed:
        commit(event)
    all_sent(22)
    assert len(looks) <= 1
    each_once = list(
        dict.fromkeys(received(broker))
    )  # a look and a commit may meet: it is sent twice
    assert each_once[2:] == [event.id for event in committed]


def test_what_another_process_commits_is_sent_on_its_notification(running, broker, initiated):
    event = initiated()
    new_rows, outbox._new_rows[SERVICE] = outbox._new_rows[SERVICE], None
    commit(event)
    outbox._new_rows[SERVICE] = new_rows
    wakeups.notify(service=SERVICE, channel=outbox.CHANNEL)
    all_sent(1)
    assert received(broker) == [event.id]


@pytest.fixture
def blocked(broker, monkeypatch):
    """The broker takes nothing until the event is set."""
    publish, unblocked, tried = broker.publish, threading.Event(), threading.Event()

    def wait(messages):
        tried.set()
        assert unblocked.wait(30)
        publish(messages)

    monkeypatch.setattr(broker, "publish", wait)
    yield unblocked, tried
    unblocked.set()


def test_blocked_broker_costs_bounded_memory_and_no_event(
    blocked, running, broker, initiated, monkeypatch
):
    unblocked, tried = blocked
    monkeypatch.setattr(outbox, "MOST_KEPT", 10)
    committed = [initiated() for _ in range(35)]
    kept = []
    for event in committed:
        commit(event)
        kept.append(len(outbox._new_rows[SERVICE]._rows))
    assert tried.wait(10)
    assert max(kept) <= 10
    unblocked.set()
    all_sent(len(committed))
    assert received(broker) == [event.id for event in committed]
