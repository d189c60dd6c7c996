"""/metrics, for Prometheus: the figures of this web process, of its service's workers, and of its
tables.

A scrape makes a few queries by indexes, in the same way as /health. The workers' counts are in
their heartbeats: this process adds what each worker has counted since the last scrape, so that the
sum does not fall when a worker ends.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.db import DatabaseError, InterfaceError, connections
from django.http import HttpRequest, HttpResponse

from contracts.doors import PUBLIC, Text, door
from httpapi import health, standing
from httpapi.standing import Heartbeat
from participant import metrics as figures
from participant import sql
from participant.metrics import Key, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS: Mapping[str, Key] = {
    "messages_published": (figures.PUBLISHED.name,),
    "messages_consumed": (figures.CONSUMED.name,),
    "messages_failed": (figures.FAILED.name,),
    "calls": (figures.CALLS.name,),
    **{f"sagas_{it}": (figures.REMEDIES.name, it) for it in ("redrive", "abort", "return", "park")},
}
"""The metric for a counter in a heartbeat; for `calls.pagos` the label is `pagos`."""
_GAUGES: Mapping[str, Key] = {
    "queue": (figures.QUEUE.name,),
    "breaker": (figures.BREAKER.name,),
    "sagas_in_flight": (figures.HELD.name,),
}


class OfWorkers:
    """The counts of all workers of the service that this process has seen."""

    def __init__(self) -> None:
        self._total: dict[Key, float] = {}
        self._seen: dict[int, Mapping[Key, float]] = {}

    def total(self, *, heartbeats: Sequence[Heartbeat]) -> dict[Key, float]:
        """Adds the counts in these heartbeats since the last call; the sums."""
        for heartbeat in heartbeats:
            now, before = _counters(heartbeat), self._seen.get(heartbeat.id, {})
            for key, value in now.items():
                self._total[key] = self._total.get(key, 0) + max(0, value - before.get(key, 0))
        self._seen = {heartbeat.id: _counters(heartbeat) for heartbeat in heartbeats}
        return dict(self._total)


_of_workers = OfWorkers()
"""Used by the thread of `health.looks` only."""


@door(PUBLIC, gives={200: Text("text/plain")})
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures of this service, in Prometheus' text format."""
    try:
        found = health.looks.ask(question=_look, seconds=health.LOOK_SECONDS)
    except TimeoutError:
        found = {"": {(figures.DATABASE_UP.name,): 0.0}}
    shown = text({**found, "web": figures.counted()})
    return HttpResponse(shown, content_type=CONTENT_TYPE)


def _look() -> dict[str, dict[Key, float]]:
    """The figures by kind of process; by "" those of the whole service."""
    app = health.app()
    is_up = not health.database().stands
    found: dict[Key, float] = {(figures.DATABASE_UP.name,): float(is_up)}
    counted: dict[Key, float] = {}
    if is_up and app is not None:
        try:
            heartbeats = standing.heartbeats_of(service=app.label)
            counted = _of_workers.total(heartbeats=heartbeats)
            for gauges in _gauges(app, heartbeats):
                found |= gauges
        except (DatabaseError, InterfaceError) as error:
            found[figures.DATABASE_UP.name,] = 0.0
            if sql.spends_connection(error):
                connections[app.label].close()
    connections[health.alias()].close_if_unusable_or_obsolete()
    return {"": found, "worker": counted}


def _gauges(app: AppConfig, heartbeats: Sequence[Heartbeat]) -> Iterator[dict[Key, float]]:
    service, models = app.label, {model.__name__ for model in app.get_models()}
    yield _workers(service, heartbeats)
    if "OutboxEntry" in models:
        yield _outbox(standing.outbox(service=service).fields["outbox"])
    if "FailedMessage" in models:
        yield _failed(service)
    if "Decision" in models:
        yield _decisions(service)
    if hasattr(app, "gauges"):
        yield app.gauges()


def _workers(service: str, heartbeats: Sequence[Heartbeat]) -> dict[Key, float]:
    """The number of worker processes by state, and the gauges of live workers: the worst of several
    values, or the sum of sagas in flight.
    """
    alive = [heartbeat for heartbeat in heartbeats if heartbeat.is_alive]
    still = standing.standing_still(service=service, heartbeats=heartbeats)
    found: dict[Key, float] = {
        (figures.WORKERS.name, "up"): len(alive),
        (figures.WORKERS.name, "stands_still"): len(still),
        (figures.WORKERS.name, "dead"): len(heartbeats) - len(alive) - len(still),
    }
    is_up = [
        heartbeat.counters["broker_up"] for heartbeat in alive if "broker_up" in heartbeat.counters
    ]
    if is_up:
        found[figures.BROKER_UP.name,] = min(is_up)
    for heartbeat in alive:
        for name, value in heartbeat.counters.items():
            if key := _key(name, _GAUGES):
                both = found.get(key, 0), value
                found[key] = sum(both) if key[0] == figures.HELD.name else max(both)
    return found


def _outbox(found: Mapping[str, Any]) -> dict[Key, float]:
    return {
        (figures.OUTBOX.name,): found["unsent"],
        (figures.OUTBOX_AGE.name,): found["oldest_unsent_seconds"],
        (figures.OUTBOX_FAILED.name,): found["failed"],
    }


def _failed(service: str) -> dict[Key, float]:
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT status, count(*) FROM {service}_failedmessage
            WHERE status IN ('retrying', 'dead_lettered') GROUP BY 1
            """,
    )
    count = dict(rows)
    return {
        (figures.MESSAGES_RETRYING.name,): count.get("retrying", 0),
        (figures.MESSAGES_DEAD.name,): count.get("dead_lettered", 0),
    }


def _decisions(service: str) -> dict[Key, float]:
    shown = standing.decisions(service=service).fields["decisions"]
    rows = sql.execute(
        service=service,
        sql=f"""
            SELECT decided_by, count(*) FROM {service}_decision WHERE closed_at IS NULL GROUP BY 1
            """,
    )
    found: dict[Key, float] = {(figures.STEPS_OVERDUE.name,): shown["overdue"]}
    return found | {(figures.STEPS_WAITING.name, who): number for who, number in rows}


def _counters(heartbeat: Heartbeat) -> dict[Key, float]:
    own = {key: n for name, n in heartbeat.counters.items() if (key := _key(name, _COUNTERS))}
    return {**own, **figures.received(heartbeat.counters)}


def _key(name: str, known: Mapping[str, Key]) -> Key | None:
    stem, _, label = name.partition(".")
    key = known.get(stem)
    return (*key, label) if key and label else key


def text(counted: Mapping[str, Mapping[Key, float]]) -> str:
    """The figures in Prometheus' text format. `counted`: by kind of process, which becomes a label;
    under "" those of the whole service.

    https://prometheus.io/docs/instrumenting/exposition_formats/
    """
    lines: dict[str, list[str]] = {metric.name: [] for metric in figures.ALL}
    for process, values in counted.items():
        first = [("process", process)] if process else []
        for name, labels, given in _by_series(values):
            metric = figures.BY_NAME[name]
            pairs = [*first, *zip(metric.labels, labels, strict=True)]
            if metric.kind == "histogram":
                lines[name] += _histogram(metric, pairs, given)
            else:
                lines[name].append(_sample(name, pairs, given[""]))
    return "".join(
        f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
        + "".join(lines[metric.name])
        for metric in figures.ALL
        if lines[metric.name]
    )


def _by_series(
    values: Mapping[Key, float],
) -> Iterator[tuple[str, tuple[str, ...], dict[str, float]]]:
    """Name, labels, and values by bucket; by "" the value of a counter or gauge."""
    series: dict[Key, dict[str, float]] = {}
    for key, value in values.items():
        size = 1 + len(figures.BY_NAME[key[0]].labels)
        series.setdefault(key[:size], {})[key[size] if len(key) > size else ""] = value
    for key in sorted(series):
        yield key[0], key[1:], series[key]


def _histogram(
    metric: Metric, pairs: list[tuple[str, str]], given: Mapping[str, float]
) -> Iterator[str]:
    total = 0.0
    for bound in (*map(str, metric.bounds), figures.INFINITE):
        total += given.get(bound, 0)
        yield _sample(f"{metric.name}_bucket", [*pairs, ("le", bound)], total)
    yield _sample(f"{metric.name}_sum", pairs, given.get(figures.SUM, 0))
    yield _sample(f"{metric.name}_count", pairs, total)


def _sample(name: str, pairs: list[tuple[str, str]], value: float) -> str:
    labels = ",".join(f'{label}="{_escaped(word)}"' for label, word in pairs)
    return f"{name}{{{labels}}} {value:.12g}\n" if labels else f"{name} {value:.12g}\n"


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
