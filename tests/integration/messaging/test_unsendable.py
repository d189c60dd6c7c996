"""Events that can't be sent are postponed alone, retried ever more rarely, and sent in the end."""

import threading

import msgspec
import pytest
from django.db import connections, transaction

from httpapi import standing
from inventario.models import OutboxEntry
from messaging import outbox
from messaging.brokers import Rejected
from messaging.relay import BATCH, Relay
from tests.integration.messaging.test_saying import commit, received
from tests.threads import InThread
from tests.waiting import eventually

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["inventario"]),
    pytest.mark.undocumented("messages"),
]
SERVICE = "inventario"
UNROUTABLE = BATCH + 20


@pytest.fixture
def relay(broker):
    broker.declare(queue="everything", events=["checkout.checkout.initiated"])
    return Relay(service=SERVICE, broker=broker)


@pytest.fixture
def sweep(relay):
    """One sweep of the relay, as each second, with the marks that follow."""
    new_rows = outbox.NewRows()

    def sweep():
        relay._sweep(new_rows)
        relay._mark()

    return sweep


def test_what_is_not_marked_yet_is_not_sent_again(relay, broker, initiated):
    """A wake-up makes it query the table earlier."""
    postponed, other = unroutable(initiated), initiated()
    commit(postponed, other)
    relay.relay_once()
    broker.declare(queue="everything", events=["checkout.unbound.event"])
    make_due()
    new_rows = outbox.NewRows()
    for _ in range(3):
        relay._sweep(new_rows)
    assert received(broker) == [other.id, postponed.id]
    assert OutboxEntry.objects.get(sent_at=None).event_id == postponed.id
    relay._mark()
    assert not OutboxEntry.objects.filter(sent_at=None).exists()


def unroutable(initiated, number=0):
    return msgspec.structs.replace(initiated(), id=f"unroutable {number}", type="unbound.event")


def failed_entries():
    return OutboxEntry.objects.filter(sent_at=None).exclude(next_attempt_at=None)


def make_due():
    with connections[SERVICE].cursor() as cursor:
        cursor.execute(
            "UPDATE inventario_outboxentry SET next_attempt_at = now()"
            " WHERE next_attempt_at IS NOT NULL AND sent_at IS NULL"
        )


def test_event_behind_more_than_a_batch_of_unroutable_events_is_sent(sweep, broker, initiated):
    other = initiated()
    commit(*[unroutable(initiated, number) for number in range(UNROUTABLE)], other)
    sweep()
    assert received(broker) == [other.id]
    assert failed_entries().count() == UNROUTABLE


def test_control_unroutable_events_kept_in_front_block_the_others(
    sweep, broker, initiated, monkeypatch
):
    monkeypatch.setattr(outbox, "postpone", lambda **_: 0)
    commit(*[unroutable(initiated, number) for number in range(UNROUTABLE)], initiated())
    for _ in range(5):
        sweep()
    assert received(broker) == []


def test_unroutable_events_are_sent_in_order_once_a_queue_is_bound(sweep, broker, initiated):
    committed = [unroutable(initiated, number) for number in range(UNROUTABLE)]
    commit(*committed)
    sweep()
    make_due()
    sweep()
    broker.declare(queue="everything", events=["checkout.unbound.event"])
    make_due()
    sweep()
    sweep()
    assert received(broker) == [event.id for event in committed]
    assert not failed_entries().exists()


def test_distance_between_attempts_grows_up_to_sixteen_seconds(sweep, initiated):
    commit(unroutable(initiated))
    distances = []
    for _ in range(7):
        sweep()
        with connections[SERVICE].cursor() as cursor:
            cursor.execute(
                "SELECT round(extract(epoch FROM next_attempt_at - now())), attempts"
                " FROM inventario_outboxentry"
            )
            distances.append(tuple(int(value) for value in cursor.fetchone()))
        make_due()
    assert distances == [(1, 1), (2, 2), (4, 3), (8, 4), (16, 5), (16, 6), (16, 7)]


@pytest.fixture
def small(broker, monkeypatch):
    """The broker refuses a call with an entry of this size without naming it; counts the calls."""
    publish, calls = broker.publish, []

    def refuse(messages):
        calls.append(len(messages))
        if any(b"x" * 5_000 in message.body for message in messages):
            raise Rejected("PRECONDITION_FAILED - message size is larger than configured")
        publish(messages)

    monkeypatch.setattr(broker, "publish", refuse)
    return calls


def large(initiated):
    return msgspec.structs.replace(
        initiated(), data=msgspec.structs.replace(initiated().data, result={"street": "x" * 5_000})
    )


def test_entry_too_large_for_the_broker_is_kept_alone(relay, small, broker, initiated):
    committed = [large(initiated) if number in (7, 63) else initiated() for number in range(100)]
    commit(*committed)
    relay.relay_once()
    fit = [event.id for number, event in enumerate(committed) if number not in (7, 63)]
    assert list(dict.fromkeys(received(broker))) == fit
    assert [row.event_id for row in failed_entries().order_by("id")] == [
        committed[7].id,
        committed[63].id,
    ]
    assert "PRECONDITION_FAILED" in failed_entries()[0].reason
    assert len(small) <= 30


def test_control_taken_for_an_outage_it_keeps_all_others(
    relay, small, broker, initiated, monkeypatch
):
    monkeypatch.setattr(Relay, "_publish_in_parts", lambda self, rows, error: raise_(error))
    commit(initiated(), large(initiated), initiated())
    for _ in range(3):
        with pytest.raises(Rejected):
            relay.relay_once()
    assert received(broker) == []


def raise_(error):
    raise error


def test_events_with_a_body_that_no_consumer_reads_are_not_sent(relay, broker, initiated):
    huge = msgspec.structs.replace(
        initiated(), data=msgspec.structs.replace(initiated().data, result={"a": "x" * 2**20})
    )
    other = initiated()
    commit(huge, other)
    relay.relay_once()
    assert received(broker) == [other.id]
    assert "at most" in failed_entries().get().reason


@pytest.fixture
def locked():
    """Holds the row of this event, as a forgotten transaction in psql would."""
    ready, done = threading.Event(), threading.Event()
    threads = []

    def hold(event_id):
        def run():
            with transaction.atomic(using=SERVICE):
                list(OutboxEntry.objects.select_for_update().filter(event_id=event_id))
                ready.set()
                assert done.wait(30)

        threads.append(InThread(run, service=SERVICE))
        assert ready.wait(10)

    yield hold, lambda: (done.set(), [thread.result() for thread in threads])
    done.set()


def test_locked_entry_is_sent_once_and_marked_later_and_stops_no_other(
    sweep, relay, broker, initiated, locked
):
    hold, release = locked
    held, other = initiated(), initiated()
    commit(held, other)
    hold(held.id)
    for _ in range(3):
        sweep()
    assert received(broker) == [held.id, other.id]
    assert OutboxEntry.objects.get(sent_at=None).event_id == held.id
    release()
    sweep()
    assert not OutboxEntry.objects.filter(sent_at=None).exists()
    assert relay._unmarked == {}


def test_failed_entries_are_named_by_the_lights_and_are_no_outage(sweep, broker, initiated):
    commit(unroutable(initiated))
    sweep()
    make_due()
    sweep()
    findings = standing.outbox(service=SERVICE)
    (complaint,) = findings.waits
    assert "have failed" in complaint.what
    assert findings.stands == []
    broker.declare(queue="everything", events=["checkout.unbound.event"])
    make_due()
    sweep()
    assert standing.outbox(service=SERVICE).waits == []


def test_retried_goes_out_at_the_next_sweep_and_discarded_never(sweep, broker, initiated):
    kept, dropped = unroutable(initiated, 1), unroutable(initiated, 2)
    commit(kept, dropped)
    sweep()
    broker.declare(queue="everything", events=["checkout.unbound.event"])
    by_id = {row.event_id: row.pk for row in failed_entries()}
    ids = [by_id[kept.id], by_id[dropped.id]]
    assert outbox.discard(service=SERVICE, ids=ids[1:]) == ids[1:]
    assert outbox.retry(service=SERVICE, ids=ids) == ids[:1]
    sweep()
    assert received(broker) == [kept.id]
    eventually(lambda: not failed_entries().exists())
