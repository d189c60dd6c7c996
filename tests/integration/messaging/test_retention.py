"""Rows that a service keeps only for a while are deleted in time, and as fast as they come; what is
still needed stays, however old.
"""

import threading
from datetime import timedelta

import msgspec
import psycopg
import pytest
from django.apps import apps
from django.db import connections
from django.utils.timezone import now

from inventario.models import FailedMessage, OutboxEntry, WorkerHeartbeat
from messaging import consumer as consumer_module
from messaging import retention
from messaging.consumer import Consumer
from messaging.retention import AT_ONCE, Cleaner, Deleting
from participant.barrier import KEEP_SECONDS
from tests.integration.httpapi.conftest import database_url
from tests.integration.messaging.conftest import receive
from tests.integration.messaging.test_hearing import available
from tests.threads import InThread
from tests.waiting import eventually

REACTIONS = apps.get_app_config("inventario").reactions()
pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"
OLD = timedelta(seconds=KEEP_SECONDS + 60)


@pytest.fixture
def cleaner():
    return Cleaner(service=SERVICE, chores=apps.get_app_config(SERVICE).chores())


def sent(count, *, age=OLD, **fields):
    """Rows of the outbox that were sent that long ago."""
    at = now() - age
    rows = OutboxEntry.objects.bulk_create(
        OutboxEntry(event_id=f"{number}", event_type="x", saga_id="y", body="", sent_at=at)
        for number in range(count)
    )
    OutboxEntry.objects.update(created_at=at, **fields)
    return rows


def failed(status, *, age=OLD):
    message = FailedMessage.objects.create(
        event_id=status, event_type="x", saga_id="y", body=b"", reason="z", status=status
    )
    FailedMessage.objects.filter(pk=message.pk).update(failed_at=now() - age)


def heartbeat(pid, *, age):
    at = now() - timedelta(seconds=age)
    return WorkerHeartbeat.objects.create(host="there", pid=pid, started_at=at, seen_at=at)


def test_more_than_a_batch_goes_without_a_pause_and_is_counted(cleaner):
    sent(2 * AT_ONCE + 7)
    assert [cleaner.clean_once() for _ in range(3)] == [True, True, False]
    assert not OutboxEntry.objects.exists()
    assert cleaner.counters() == {"deleted.inventario_outboxentry": 2 * AT_ONCE + 7}


def test_young_rows_stay(cleaner):
    sent(3, age=timedelta(seconds=retention.SENT_SECONDS - 60))
    failed("handled", age=timedelta(seconds=KEEP_SECONDS - 60))
    heartbeat(1, age=retention.DEAD_WORKER_SECONDS - 60)
    assert not cleaner.clean_once()
    assert cleaner.counters() == {}


def test_unsent_events_are_never_deleted_and_hide_no_younger_ones(cleaner):
    sent(AT_ONCE, sent_at=None)
    sent(1)
    unsent = OutboxEntry.objects.order_by("id")[:AT_ONCE].values_list("id", flat=True)
    OutboxEntry.objects.filter(pk__in=list(unsent)).update(sent_at=None)
    while cleaner.clean_once():
        pass
    assert OutboxEntry.objects.count() == AT_ONCE
    assert not OutboxEntry.objects.exclude(sent_at=None).exists()


def test_one_young_row_among_the_old_ends_nothing(cleaner):
    rows = sent(2 * AT_ONCE)
    OutboxEntry.objects.filter(pk=rows[1].pk).update(created_at=now(), sent_at=now())
    while cleaner.clean_once():
        pass
    assert [row.pk for row in OutboxEntry.objects.all()] == [rows[1].pk]


def test_what_was_late_to_be_sent_goes_at_a_later_look_from_the_first_row():
    (what,) = [kept for kept in retention.kept(service=SERVICE) if "outbox" in kept.table]
    chore = Deleting(service=SERVICE, what=what)
    sent(AT_ONCE, sent_at=None)
    assert chore.clean().is_more
    OutboxEntry.objects.update(sent_at=now() - OLD)
    assert chore.clean().counts == {"deleted.inventario_outboxentry": 0}
    chore._again_at = 0.0
    chore.clean()
    assert chore.clean().is_more
    assert not OutboxEntry.objects.exists()


def test_messages_that_wait_for_a_person_stay_and_those_that_are_settled_go(cleaner):
    for status in ("retrying", "dead_lettered", "handled", "discarded"):
        failed(status)
    cleaner.clean_once()
    left = set(FailedMessage.objects.values_list("status", flat=True))
    assert left == {"retrying", "dead_lettered"}


def test_dead_worker_is_forgotten_and_a_hanging_worker_is_not(cleaner):
    still, _ = heartbeat(42, age=7200), heartbeat(43, age=7200)
    with psycopg.connect(database_url(SERVICE)) as session:
        session.execute(
            "SELECT pg_advisory_lock(hashtext('inventario_workerheartbeat'), %s::int)", [still.pk]
        )
        cleaner.clean_once()
    assert list(WorkerHeartbeat.objects.values_list("pid", flat=True)) == [42]


def test_locked_row_and_locked_table_keep_nothing_else_from_going(cleaner):
    sent(2)
    failed("handled")
    held = OutboxEntry.objects.order_by("id").first()
    with psycopg.connect(database_url(SERVICE)) as session:
        session.execute("SELECT FROM inventario_outboxentry WHERE id = %s FOR UPDATE", [held.pk])
        session.execute("LOCK TABLE inventario_failedmessage")
        with connections[SERVICE].cursor() as cursor:
            cursor.execute("SET lock_timeout = 50")
        cleaner.clean_once()
        assert [row.pk for row in OutboxEntry.objects.all()] == [held.pk]
    cleaner.clean_once()
    assert not FailedMessage.objects.exists()


def test_it_cleans_until_it_is_stopped(cleaner, monkeypatch):
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0.05)
    stop = threading.Event()
    at_work = InThread(lambda: cleaner.run(stop), service=SERVICE)
    for _ in range(2):
        sent(3)
        eventually(lambda: not OutboxEntry.objects.exists(), what="they are deleted")
    stop.set()
    at_work.result()


class TestLateMessages:
    """A duplicate may come when the barrier has no entries of its saga any more."""

    @pytest.fixture
    def consumer(self, broker):
        consumer = Consumer(service=SERVICE, broker=broker, reactions=REACTIONS)
        consumer.look_at_the_clock()
        return consumer

    def test_older_than_the_retention_it_is_left_to_a_person(self, consumer, initiated, product):
        late = msgspec.structs.replace(initiated(), occurred_at=now() - OLD)
        receive(consumer, late, initiated())
        assert available(product) == 9
        (kept,) = FailedMessage.objects.all()
        assert kept.status == "dead_lettered"
        assert "DUETO_KEEP_SECONDS" in kept.reason

    def test_a_person_may_have_it_handled(self, consumer, initiated, product):
        receive(consumer, msgspec.structs.replace(initiated(), occurred_at=now() - OLD))
        FailedMessage.objects.update(status="retrying", next_attempt_at=now())
        consumer.retry_failed()
        assert available(product) == 9

    def test_a_redrive_is_of_a_saga_that_lives(self, consumer, initiated, product):
        receive(consumer, msgspec.structs.replace(initiated(redrive=True), occurred_at=now() - OLD))
        assert available(product) == 9

    def test_a_little_younger_it_is_a_message_as_any_other(self, consumer, initiated, product):
        age = timedelta(seconds=KEEP_SECONDS * consumer_module.LATE_SHARE - 60)
        receive(consumer, msgspec.structs.replace(initiated(), occurred_at=now() - age))
        assert available(product) == 9
