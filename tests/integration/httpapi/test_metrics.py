"""/metrics: the figures of a service and its workers, in Prometheus' format."""

import pytest

from catalogue.commands import Item
from contracts.saga import SAGAS
from httpapi import metrics as door
from inventario import operations
from inventario.models import Product, WorkerHeartbeat
from messaging.worker import Worker
from participant import metrics
from participant.executing import execute
from tests.integration.httpapi.scraping import promtool, samples

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"


@pytest.fixture
def scrape(client, lights, monkeypatch):
    """The series that Prometheus scrapes at inventario."""
    lights()
    monkeypatch.setattr(metrics, "_counted", {})
    monkeypatch.setattr(metrics, "_series", metrics.Counter())
    monkeypatch.setattr(door, "_of_workers", door.OfWorkers())

    def look():
        answer = client.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        look.text = answer.content.decode()
        return samples(look.text, service=SERVICE)

    return look


def of(scraped, name, **labels):
    """The sum over the series of that name that have these labels."""
    wanted = [f'{label}="{word}"' for label, word in labels.items()]
    return sum(
        value
        for series, value in scraped.items()
        if series.startswith(name + "{") and all(label in series for label in wanted)
    )


def reserve(saga_id, **more):
    product = Product.objects.get()
    step = SAGAS["checkout"].steps[1]
    fields = {"saga": "checkout", "step": step.name, **more}
    items = [Item(product_id=str(product.id), quantity=1)]
    command = operations.reserve.command(saga_id=saga_id, subject="c", items=items, **fields)
    execute(operation=operations.reserve, commands=[command])


@pytest.fixture
def product():
    return Product.objects.create(name="p", price="1.00", sku="s", initial=1, available=1)


def test_steps_are_counted_by_outcome(scrape, product):
    reserve("s1")
    reserve("s1")
    reserve("s2")
    reserve("by hand", saga="", step="whatever")
    scraped = scrape()
    steps = {"saga": "checkout", "step": "reserve_inventory", "direction": "do"}
    for outcome, number in [("done", 1), ("repeated", 1), ("refused", 1), ("waiting", 0)]:
        assert of(scraped, "dueto_steps_total", outcome=outcome, **steps) == number
    assert of(scraped, "dueto_steps_total", saga="", step="") == 1
    assert of(scraped, "dueto_batch_items_count", of="commands", process="web") == 4


def test_transaction_that_is_rolled_back_counts_nothing(scrape, product):
    def fail(executed):
        raise ValueError("no")

    command = operations.reserve.command(saga_id="s", subject="c", items=[], saga="x", step="y")
    with pytest.raises(ValueError, match="no"):
        execute(operation=operations.reserve, commands=[command], in_same_transaction=fail)
    assert of(scrape(), "dueto_steps_total") == 0


def test_what_a_worker_counts_comes_with_its_heartbeat(scrape):
    """In this process a worker's counters are also the web's own; labels tell them apart."""
    metrics.observe(metrics.DURATION, 0.3, "checkout", "choreographed", "completed")
    Worker(service=SERVICE, components=[])._beat()
    scraped = scrape()
    for process in ("web", "worker"):
        named = {"process": process, "pattern": "choreographed", "outcome": "completed"}
        assert of(scraped, "dueto_saga_duration_seconds_count", **named) == 1
        assert of(scraped, "dueto_saga_duration_seconds_bucket", le="0.25", **named) == 0
        assert of(scraped, "dueto_saga_duration_seconds_bucket", le="0.5", **named) == 1
        assert of(scraped, "dueto_saga_duration_seconds_sum", **named) == pytest.approx(0.3)


class TestWorkers:
    @pytest.fixture
    def count(self, scrape):
        """Sets the number of messages in a worker's row; the number at /metrics."""

        def tell(**workers):
            WorkerHeartbeat.objects.exclude(host__in=workers).delete()
            for host, number in workers.items():
                counters = {"messages_consumed": number, "broker_up": 1}
                WorkerHeartbeat.objects.update_or_create(
                    host=host, pid=1, defaults={"counters": counters}
                )
            return of(scrape(), "dueto_messages_consumed_total", process="worker")

        return tell

    def test_worker_that_ends_takes_nothing_away(self, count):
        assert count(a=100, b=50) == 150
        assert count(b=60) == 160
        assert count(b=60, c=5) == 165
        assert count(c=7) == 167

    def test_gauges_are_of_living_workers(self, scrape):
        counters = {"queue.work": 3, "broker_up": 1, "breaker.pagos": 0, "sagas_in_flight": 4}
        WorkerHeartbeat.objects.create(host="a", pid=1, counters=counters)
        worse = counters | {"queue.work": 4, "broker_up": 0, "breaker.pagos": 1}
        WorkerHeartbeat.objects.create(host="b", pid=1, counters=worse)
        WorkerHeartbeat.objects.create(
            host="c", pid=1, counters={"queue.work": 9}, seen_at="2020-01-01T00:00Z"
        )
        scraped = scrape()
        assert of(scraped, "dueto_queue_messages", queue="work") == 4
        assert of(scraped, "dueto_broker_up") == 0
        assert of(scraped, "dueto_breaker_open", participant="pagos") == 1
        assert of(scraped, "dueto_runner_sagas") == 8
        assert of(scraped, "dueto_worker_processes", state="up") == 2
        assert of(scraped, "dueto_worker_processes", state="dead") == 1


def test_labels_are_bounded(monkeypatch, scrape):
    monkeypatch.setattr(metrics, "MOST_SERIES", 3)
    for number in range(10):
        metrics.count(metrics.ACCEPTED, "checkout", f"typed {number}")
        metrics.observe(metrics.DURATION, 1.0, "checkout", f"typed {number}", "completed")
    scraped = scrape()
    assert of(scraped, "dueto_sagas_accepted_total") == 10
    assert of(scraped, "dueto_sagas_accepted_total", saga="other", pattern="other") == 7
    assert of(scraped, "dueto_saga_duration_seconds_count") == 10
    assert len([name for name in scraped if "typed" in name and "accepted" in name]) == 3


def test_every_metric_is_in_prometheus_format(scrape):
    """Its linter knows the naming conventions, and reads the text as Prometheus does."""
    for metric in metrics.ALL:
        words = ['with "quotes" and \\', *metric.labels[1:]][: len(metric.labels)]
        if metric.kind == "histogram":
            metrics.observe(metric, 1.0, *words)
        else:
            metrics.count(metric, *words)
    text = door.text({"web": metrics.counted()})
    assert {f"# TYPE {metric.name} {metric.kind}" for metric in metrics.ALL} <= set(
        text.splitlines()
    )
    assert promtool("check", "metrics", input=text) == (0, "")
    scrape()
    assert promtool("check", "metrics", input=scrape.text) == (0, "")
