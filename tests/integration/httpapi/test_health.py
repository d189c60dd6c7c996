"""The health of a service: it works, or the answer names the problems."""

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import JSONField, Value
from django.utils.timezone import now

from contracts.states import Complaint
from httpapi import health, standing
from inventario.models import FailedMessage, OutboxEntry, WorkerHeartbeat
from messaging import worker as worker_module
from messaging.worker import HeartbeatWriter
from participant import sql
from tests.integration.httpapi.conftest import database_url, stands, waits
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


def ago(seconds):
    return now() - timedelta(seconds=seconds)


class OtherClock:
    """`datetime`, on a host whose clock is wrong."""

    def __init__(self, ahead):
        self.ahead = ahead

    def now(self, zone):
        return datetime.now(zone) + self.ahead


@pytest.fixture
def heartbeat():
    made = HeartbeatWriter(service=SERVICE)
    yield made
    made.lose_session()


def test_service_at_rest_is_green(lights, living):
    status, body = lights()
    assert (status, body["status"], body["attention"]) == (200, "ok", [])


class TestWorkers:
    def test_hanging_worker_behind_a_living_worker_is_named(self, lights, living):
        still = WorkerHeartbeat.objects.create(host="there", pid=42, seen_at=ago(30))
        with psycopg.connect(database_url(SERVICE)) as session:
            session.execute(
                "SELECT pg_advisory_lock(hashtext('inventario_workerheartbeat'), %s::int)",
                [still.pk],
            )
            status, body = lights()
        assert status == 503
        assert stands(body) == ["worker process 42 on there stands still"]
        assert "kill -CONT 42" in body["attention"][0]["do"]
        assert body["worker"]["status"] == "up"

    def test_worker_whose_session_is_gone_is_dead_and_no_outage(self, lights, living):
        WorkerHeartbeat.objects.create(host="there", pid=42, seen_at=ago(30))
        status, body = lights()
        assert status == 200
        assert [worker["status"] for worker in body["workers"]] == ["up", "dead"]

    def test_without_a_living_worker_it_is_down(self, lights, living):
        WorkerHeartbeat.objects.update(seen_at=ago(30))
        status, body = lights()
        assert (status, body["worker"]["status"]) == (503, "down")
        assert stands(body) == ["no worker of inventario lives"]

    def test_lasting_complaint_is_red_and_a_momentary_one_is_not(self, lights, living):
        """The first check shows it too: the duration is not counted by checks."""
        what = "no queue: it is classic"
        for since, seen in [(now(), (200, [], [what])), (ago(10), (503, [what], []))]:
            complaint = Complaint(what=what, since=since, do="mend")
            WorkerHeartbeat.objects.update(complaints=[msgspec.to_builtins(complaint)])
            status, body = lights()
            assert (status, stands(body), waits(body)) == seen

    def test_complaint_of_a_worker_whose_clock_is_wrong_lasts_as_long_as_it_does(
        self, lights, living, heartbeat, monkeypatch
    ):
        for ahead in (timedelta(seconds=130), timedelta(seconds=-130)):
            clock = OtherClock(ahead)
            monkeypatch.setattr(worker_module, "datetime", clock)
            heartbeat.beat(counters={}, complaints=[])
            heartbeat.beat(counters={}, complaints=[])
            for seconds, status in [(0, 200), (10, 503)]:
                since = clock.now(UTC) - timedelta(seconds=seconds)
                complaint = Complaint(what="no queue", since=since, do="mend")
                heartbeat.beat(counters={}, complaints=[complaint])
                assert lights()[0] == status, (ahead, seconds)

    @pytest.mark.parametrize("typed", [None, "x", [], {}, [1, None], [{"what": 7}]])
    def test_heartbeat_edited_by_hand_ends_no_look(self, lights, living, typed):
        WorkerHeartbeat.objects.update(
            counters=Value(typed, JSONField()), complaints=Value(typed, JSONField())
        )
        status, body = lights()
        assert (status, body["worker"]["status"], body["attention"]) == (200, "up", [])

    def test_complaint_that_stops_no_saga_is_never_red(self, lights, living, monkeypatch):
        monkeypatch.setattr(standing, "COMPLAINT_SECONDS", 0)
        complaint = Complaint(what="too big", since=now(), do="look at it", stops_sagas=False)
        WorkerHeartbeat.objects.update(complaints=[msgspec.to_builtins(complaint)])
        status, body = lights()
        assert (status, waits(body)) == (200, [complaint.what])

    def test_processes_report_their_state(self, lights, worker):
        stopped, killed, ended = worker(), worker(), worker()
        eventually(lambda: lights()[0] == 200, seconds=120, what="all are there")
        stopped.send_signal(signal.SIGSTOP)
        eventually(lambda: lights()[0] == 503, seconds=120, what="it is named")
        assert any(f"process {stopped.pid} on" in stand for stand in stands(lights()[1]))
        stopped.send_signal(signal.SIGCONT)
        eventually(lambda: lights()[0] == 200, seconds=120, what="it is green again")
        killed.kill()
        killed.wait()
        ended.terminate()
        assert ended.wait(30) == 0
        left = set(WorkerHeartbeat.objects.values_list("pid", flat=True))
        assert left == {stopped.pid, killed.pid}, "a clean stop leaves no row"
        assert lights()[0] == 200, "a living one is there"


class TestHeartbeat:
    def test_row_that_was_taken_away_is_written_again(self, heartbeat, living):
        heartbeat.beat(counters={}, complaints=[])
        WorkerHeartbeat.objects.all().delete()
        heartbeat.beat(counters={"a": 1}, complaints=[])
        assert WorkerHeartbeat.objects.get().counters == {"a": 1}

    def test_it_goes_on_with_a_new_session_when_its_own_was_cut(self, heartbeat, living):
        heartbeat.beat(counters={}, complaints=[])
        cut_all_others()
        with pytest.raises((DatabaseError, InterfaceError)):
            heartbeat.beat(counters={}, complaints=[])
        heartbeat.lose_session()
        heartbeat.beat(counters={"a": 1}, complaints=[])
        (pid,) = WorkerHeartbeat.objects.filter(counters={"a": 1}).values_list("pid", flat=True)
        assert pid == os.getpid()
        assert standing._with_session(SERVICE, [heartbeat._id]) == {heartbeat._id}


class TestDatabase:
    @pytest.fixture
    def read_only(self):
        """Makes the database read-only for new sessions, and cuts those that there are."""
        yield lambda: for_new_sessions("SET default_transaction_read_only = on")
        writable()

    def test_database_that_takes_no_writes_is_not_ready(self, lights, living, client, read_only):
        read_only()
        status, body = lights()
        assert (status, body["database"]["status"]) == (503, "read-only")
        assert "writable" in body["attention"][0]["do"]
        assert client.get("/health/ready").status_code == 503

    def test_it_is_green_again_by_itself(self, lights, living, read_only):
        read_only()
        assert lights()[0] == 503
        writable()
        assert lights()[0] == 200

    @pytest.fixture
    def spent(self, lights, monkeypatch):
        """Makes the check's kept connection read-only, as after a failover."""
        monkeypatch.setitem(connections[SERVICE].settings_dict, "CONN_MAX_AGE", None)

        def make():
            statement = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
            sql.execute(service=SERVICE, sql=statement)
            return standing.Findings()

        lights()
        health._ask(make)
        yield
        health._ask(lambda: connections[SERVICE].close() or standing.Findings())

    def test_connection_that_is_spent_is_replaced(self, lights, living, spent):
        status, body = lights()
        assert (status, body["database"]["status"]) == (200, "up")

    def test_control_asked_once_a_spent_connection_looks_like_an_outage(self, spent):
        assert health._ask(lambda: standing.Findings(fields=health._state())).fields == {
            "status": "read-only",
            "error": "it takes no writes",
        }

    def test_database_that_does_not_answer_delays_no_answer(self, lights, living, monkeypatch):
        answers = threading.Event()
        with monkeypatch.context() as patch:
            patch.setattr(health, "LOOK_SECONDS", 0.3)
            patch.setattr(
                health, "database", lambda: standing.Findings() if answers.wait(60) else 0
            )
            started = time.monotonic()
            status, body = lights()
            took = time.monotonic() - started
        answers.set()
        assert took < 30
        assert status == 503
        assert "no answer within" in stands(body)[0]
        eventually(lambda: lights()[0] == 200, what="it is green again by itself")

    def test_locked_table_is_named_and_the_others_are_seen(self, lights, living):
        with psycopg.connect(database_url(SERVICE)) as session:
            session.execute("LOCK TABLE inventario_workerheartbeat")
            status, body = lights()
        assert status == 503
        assert "can't be read" in stands(body)[0]
        assert body["outbox"]["unsent"] == 0
        assert lights()[0] == 200

    def test_session_that_keeps_its_transaction_open_is_named(self, lights, living, monkeypatch):
        monkeypatch.setattr(standing, "IDLE_IN_TRANSACTION_SECONDS", 0)
        with psycopg.connect(database_url(SERVICE), application_name="psql") as session:
            session.execute("SELECT 1")
            status, body = lights()
            assert status == 200
            pid = session.info.backend_pid
            assert any(f"session {pid} of the database (psql)" in wait for wait in waits(body))
        assert lights()[1]["attention"] == []


class TestOutbox:
    def entry(self, **more):
        return OutboxEntry.objects.create(
            event_id="e", event_type="t", saga_id="s", body="", **more
        )

    def test_outbox_without_a_relay_is_red(self, lights, living):
        self.entry(created_at=ago(60))
        status, body = lights()
        assert status == 503
        assert stands(body) == ["1 events of inventario wait to be sent, and none goes out"]

    def test_outbox_that_moves_is_green_however_long_it_is(self, lights, living):
        self.entry(created_at=ago(61), sent_at=now())
        self.entry(created_at=ago(60))
        assert lights()[0] == 200

    def test_outbox_with_failed_entries_is_green_and_names_them(self, lights, living):
        self.entry(created_at=ago(60), next_attempt_at=now(), attempts=3, reason="too big")
        status, body = lights()
        assert (status, body["outbox"]["failed"]) == (200, 1)
        assert waits(body)[0].startswith("1 events of inventario have failed")
        assert waits(body)[0].endswith("the first: too big")


def test_dead_lettered_message_is_shown_as_waiting_for_a_person(lights, living):
    FailedMessage.objects.create(
        event_id="e", event_type="t", saga_id="s", body=b"", status="dead_lettered", reason="poison"
    )
    status, body = lights()
    assert status == 200
    assert waits(body) == ["dead-lettered messages of inventario: 1, the first: t of saga s"]


def for_new_sessions(setting):
    with psycopg.connect(database_url(SERVICE), autocommit=True) as session:
        session.execute("SET default_transaction_read_only = off")
        name = connections[SERVICE].settings_dict["NAME"]
        session.execute(f'ALTER DATABASE "{name}" {setting}')
    cut_all_others()
    connections[SERVICE].close()


def cut_all_others():
    with psycopg.connect(database_url(SERVICE), autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def writable():
    for_new_sessions("RESET default_transaction_read_only")
