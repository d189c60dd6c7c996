"""Each alert of observe/alerts.yml fires when what it watches is broken, and no other does.

The service is scraped while it is well, and twice while it is broken. Prometheus' own tool then
evaluates the rules over what was scraped, going on as it went last.
"""

import json
import threading
import uuid
from datetime import timedelta
from importlib import import_module

import psycopg
import pytest
from django.utils.timezone import now
from ruamel.yaml import YAML

from coordination.participants import FAULTS_TO_OPEN, Participants
from httpapi import metrics as door
from httpapi.middleware import Gateway
from messaging import outbox
from messaging.brokers import Message, connect
from messaging.components import BrokerProbe
from participant import metrics
from pedidos import store
from pedidos.models import Order, OrderStatus
from reservas.models import Decision
from saga_choreography.models import Saga as WatchedSaga
from saga_choreography.store import SagaPhase
from saga_orchestrator.models import Definition, Saga
from tests.integration.httpapi.conftest import database_url
from tests.integration.httpapi.scraping import RULES, promtool, samples
from tests.integration.httpapi.test_health import for_new_sessions, writable
from tests.waiting import eventually

SERVICES = ["inventario", "pedidos", "reservas", "saga_orchestrator", "saga_choreography"]
pytestmark = pytest.mark.django_db(transaction=True, databases=SERVICES)
ALERTS = [rule for group in YAML(typ="safe").load(RULES)["groups"] for rule in group["rules"]]
EVERY = 15
"""Seconds between two scrapes, as observe/prometheus.yml says."""


def ago(seconds):
    return now() - timedelta(seconds=seconds)


class Broken:
    """The faults that the alerts are for. Repeated at each scrape, a fault lasts."""

    def __init__(self, stack):
        self.stack = stack

    def tables(self, service):
        return import_module(f"{service}.models")

    def beat(self, service, *, seen=0, **counters):
        rows = self.tables(service).WorkerHeartbeat.objects
        heartbeat = {"counters": {"broker_up": 1, **counters}, "seen_at": ago(seen)}
        return rows.update_or_create(host="here", pid=1, defaults=heartbeat)[0]

    def probed(self, url, *, until):
        """The counters of a worker whose broker is there."""
        stop, probe = threading.Event(), BrokerProbe(queue="dueto.inventario", broker=connect(url))
        thread = threading.Thread(target=probe.run, args=[stop])
        thread.start()
        eventually(lambda: until(probe), what="the broker is asked")
        stop.set()
        thread.join()
        self.beat("inventario", **probe.counters())

    def queue(self, name, number):
        broker = connect(url := f"memory://{uuid.uuid4()}")
        for queue in ("dueto.inventario", "dueto.inventario.dead"):
            broker.declare(queue=queue, events=[queue])
        broker.publish([Message(str(at), name, b"{}") for at in range(number)])
        self.probed(url, until=lambda probe: len(probe.counters()) > 1)

    def orchestrated(self, **fields):
        steps, _ = Definition.objects.get_or_create(digest="d", name="checkout", steps=[])
        Saga.objects.create(
            saga_id=uuid.uuid4().hex,
            name="checkout",
            pattern="orchestrated",
            definition=steps,
            subject="c",
            context={},
            deadline_at=now(),
            **{"status": "running", **fields},
        )

    def order(self, *, accepted):
        return Order.objects.create(
            saga_id=uuid.uuid4().hex,
            saga="fulfilment",
            saga_pattern="orchestrated",
            user_id="u",
            items=[],
            accepted_at=ago(accepted),
            total_amount="1.00",
        )

    def service_down(self):
        """Its port is closed: only Prometheus' own series are left."""
        return {'up{job="dueto",service="inventario"}': 0.0}

    def database_down(self):
        for_new_sessions("SET default_transaction_read_only = on")
        self.stack.callback(writable)

    def no_worker(self):
        self.beat("inventario", seen=30)

    def worker_stands_still(self):
        table = self.tables("inventario").WorkerHeartbeat
        still, _ = table.objects.update_or_create(host="x", pid=2, defaults={"seen_at": ago(30)})
        session = self.stack.enter_context(psycopg.connect(database_url("inventario")))
        lock = "SELECT pg_try_advisory_lock(hashtext('inventario_workerheartbeat'), %s::int)"
        session.execute(lock, [still.pk])

    def broker_down(self):
        self.probed("amqp://127.0.0.1:9", until=lambda probe: probe.complaints())

    def outbox_old(self):
        entry = {"event_id": "e", "event_type": "t", "saga_id": "s", "body": "{}"}
        self.tables("inventario").OutboxEntry.objects.create(created_at=ago(60), **entry)

    def events_postponed(self):
        entry = {"event_id": "e", "event_type": "t", "saga_id": "s", "body": "{}"}
        row = self.tables("inventario").OutboxEntry.objects.create(**entry)
        outbox.postpone(service="inventario", ids=[row.pk], reason="no queue")

    def breaker_open(self):
        participants = Participants(urls={"pagos": "http://127.0.0.1:9"})
        for _ in range(FAULTS_TO_OPEN):
            participants._breakers["pagos"].faulted()
        self.beat("saga_orchestrator", **participants.counters())

    def sagas_stand_still(self):
        WatchedSaga.objects.create(
            saga_id=uuid.uuid4().hex,
            saga="checkout",
            subject="c",
            context={},
            status="running",
            phase=SagaPhase.RUNNING,
            started_at=ago(700),
            watch_at=now(),
        )

    def not_handed_over(self):
        self.order(accepted=90)

    def steps_overdue(self):
        Decision.objects.create(
            saga_id=uuid.uuid4().hex,
            step="approve_booking",
            saga="booking",
            action="approve",
            decided_by="manager",
            until=ago(120),
            command={},
        )

    def saga_parked(self):
        self.orchestrated(status="parked", parked_at=now(), parked_reason="r", next_attempt_at=None)

    def dead_letters(self):
        message = {"event_id": "e", "event_type": "t", "saga_id": "s", "body": b"", "reason": "r"}
        self.tables("inventario").FailedMessage.objects.create(status="dead_lettered", **message)

    def queue_dead(self):
        self.queue("dueto.inventario.dead", 1)

    def queue_deep(self):
        self.queue("dueto.inventario", 1001)

    def refusing(self):
        process = Gateway(lambda *_: [], is_shut=lambda path, body: True)
        environ = {"PATH_INFO": "/", "REQUEST_METHOD": "POST"}
        process(environ, lambda *_: None)

    def slow(self):
        order = self.order(accepted=7)
        before, after = OrderStatus.PENDING, OrderStatus.DISPATCHED
        Order.objects.update(handed_over_at=now(), confirmed_at=now())
        assert store.complete_orders(saga_ids=[order.pk], before=before, after=after)


AT = {
    "BreakerOpen": "saga_orchestrator",
    "SagaParked": "saga_orchestrator",
    "SagasStandStill": "saga_choreography",
    "NotHandedOver": "pedidos",
    "Slow": "pedidos",
    "StepsOverdue": "reservas",
}
"""Where each is broken; at inventario if it does not say."""


def method_of(alert):
    """DuetoNoWorker: no_worker."""
    name = alert.removeprefix("Dueto")
    return "".join(
        "_" * (at > 0) * letter.isupper() + letter.lower() for at, letter in enumerate(name)
    )


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_alert_fires_when_what_it_watches_breaks(
    alert, client, lights, monkeypatch, tmp_path, exit_stack
):
    service = AT.get(alert.removeprefix("Dueto"), "inventario")
    monkeypatch.setattr(door, "_of_workers", door.OfWorkers())
    metrics.count(metrics.REFUSED, "admission", by=0)
    broken = Broken(exit_stack)
    broken.beat(service)
    lights(service)

    def scrape():
        series = samples(client.get("/metrics").content.decode(), service=service)
        return {**series, f'up{{job="dueto",service="{service}"}}': 1.0}

    scrapes = [scrape()]
    for _ in range(2):
        gone = getattr(broken, method_of(alert))()
        scrapes.append(gone or scrape())
    assert firing(scrapes, folder=tmp_path, at=4 * EVERY) == []
    assert firing(scrapes, folder=tmp_path, at=15 * 60) == [alert]


def firing(scrapes, *, folder, at):
    """The alerts that fire so many seconds after the first scrape; the service breaks after the
    tenth."""
    names = {name for scraped in scrapes for name in scraped}
    test = {
        "interval": f"{EVERY}s",
        "input_series": [
            {"series": name, "values": _values([scraped.get(name) for scraped in scrapes])}
            for name in sorted(names)
        ],
        "promql_expr_test": [
            {
                "expr": 'max by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{at}s",
                "exp_samples": [],
            }
        ],
    }
    file = folder / "test.yml"
    rules = {"rule_files": [str(RULES)], "evaluation_interval": f"{EVERY}s", "tests": [test]}
    file.write_text(json.dumps(rules))
    status, output = promtool("test", "rules", str(file))
    fired = [rule["alert"] for rule in ALERTS if f'alertname="{rule["alert"]}"' in output]
    assert fired or status == 0, output
    return fired


def _values(values):
    well, first, last = ("_" if value is None else f"{value:.12g}" for value in values)
    if values[2] is None:
        return f"{well}x9 _x60"
    step = values[2] - values[1] if values[1] is not None else 0
    return f"{well}x9 {first} {last}+{step:.12g}x60"


def test_each_alert_states_why_it_wakes_a_person_and_what_to_do():
    for rule in ALERTS:
        assert {"summary", "why", "do"} <= rule["annotations"].keys(), rule["alert"]
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]


def test_prometheus_can_read_the_rules():
    assert promtool("check", "rules", str(RULES))[0] == 0
