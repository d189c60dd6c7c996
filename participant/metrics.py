"""Every metric of every service, a row each, and what this process has counted of them.

Counting is a row of a dictionary under a lock: under a microsecond, and no thread of its own. A web
process shows its own figures at /metrics (`httpapi.metrics`); a worker, which has no port, tells
its own with its heartbeat, and the web process of its service shows them too. Both start at zero
with their process, as Prometheus expects of a counter.

Labels are words of the catalogue, never ids. Whatever else may come (a step that is called by
hand, a row that a person has typed over) counts as `other` once a metric has MOST_SERIES.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import msgspec

MOST_SERIES = 500
"""Of a metric: all sagas, steps, directions and outcomes of the catalogue are some 300."""
OTHER = "other"
SUM, INFINITE = "sum", "+Inf"

Key = tuple[str, ...]
"""A metric's name and its labels' values; of a histogram then a bucket's upper limit, or SUM."""


class Metric(msgspec.Struct, frozen=True):
    """`bounds`: upper limits of a histogram's buckets. Names are by Prometheus' conventions:
    https://prometheus.io/docs/practices/naming/
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
ITEMS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_SAGA = ("saga", "pattern")
_STEP = ("saga", "step", "direction")

# Counted where it happens, in the process that does it.
ACCEPTED = Metric(
    "dueto_sagas_accepted_total", "counter", "Sagas that their owner has accepted.", _SAGA
)
DURATION = Metric(
    "dueto_saga_duration_seconds",
    "histogram",
    "From a saga's acceptance to its outcome, by the owner's row and its database's clock. One that"
    " was completed and is given back later ends again, as compensated.",
    (*_SAGA, "outcome"),
    SECONDS,
)
STEPS = Metric(
    "dueto_steps_total",
    "counter",
    "Commands that a service has answered. waiting: it is decided later, which is counted then;"
    " repeated: it was known, and its stored outcome was given again. Without a saga: by hand.",
    (*_STEP, "outcome"),
)
FAULTS = Metric(
    "dueto_step_faults_total",
    "counter",
    "Calls and requests of the orchestrator that brought no answer; each is tried again, until the"
    " saga is parked or turned back.",
    (*_STEP, "pattern"),
)
BATCH = Metric(
    "dueto_batch_items",
    "histogram",
    "What is handled at once: commands in a transaction, messages consumed or published together,"
    " sagas told of in a call.",
    ("of",),
    ITEMS,
)
REQUESTS = Metric(
    "dueto_http_requests_total",
    "counter",
    "Requests that a web process has answered, by the class of the status.",
    ("status",),
)
REFUSED = Metric(
    "dueto_http_requests_refused_total",
    "counter",
    "Requests that were told to come again (503 overloaded). admission: more sagas come than can be"
    " done; slots: more requests than a web process can hold.",
    ("reason",),
)

# Counters of a worker's components, as its heartbeat has them.
PUBLISHED = Metric("dueto_messages_published_total", "counter", "Messages the broker has taken.")
CONSUMED = Metric("dueto_messages_consumed_total", "counter", "Messages that were handled.")
FAILED = Metric(
    "dueto_messages_failed_total",
    "counter",
    "Messages whose handling failed; each is retried, and left to a person in the end.",
)
CALLS = Metric(
    "dueto_calls_total", "counter", "Calls of the orchestrator over HTTP.", ("participant",)
)
REMEDIES = Metric(
    "dueto_watchdog_remedies_total",
    "counter",
    "What the watchdog has done for choreographed sagas that stood still.",
    ("remedy",),
)
BROKER_UP = Metric("dueto_broker_up", "gauge", "1 while the broker answers the workers.")
QUEUE = Metric(
    "dueto_queue_messages",
    "gauge",
    "Messages in the service's queue (work), and in that of those the broker has given up (dead).",
    ("queue",),
)
BREAKER = Metric(
    "dueto_breaker_open",
    "gauge",
    "1 while the orchestrator does not call that service, because it is down.",
    ("participant",),
)
HELD = Metric("dueto_runner_sagas", "gauge", "Sagas that runners have in flight now.")

# Read at each scrape, from rows that an index has few of.
DATABASE_UP = Metric(
    "dueto_database_up", "gauge", "1 while the service's database answers and takes writes."
)
WORKERS = Metric(
    "dueto_worker_processes",
    "gauge",
    "Worker processes: up, stands_still (there, and silent), or dead (silent, and gone).",
    ("state",),
)
SAGAS = Metric(
    "dueto_sagas_open",
    "gauge",
    "Sagas that have not ended, as their coordinator knows: in_flight, waiting (for a decision),"
    " or parked (an operator must).",
    (*_SAGA, "state"),
)
OLDEST = Metric(
    "dueto_saga_oldest_open_seconds",
    "gauge",
    "The age of the oldest of them; 0 where there is none.",
    (*_SAGA, "state"),
)
ACCEPTED_ONLY = Metric(
    "dueto_sagas_not_handed_over",
    "gauge",
    "Sagas that were accepted and that no coordinator has been told of, at most 1000 a pattern.",
    ("pattern",),
)
OLDEST_ACCEPTED_ONLY = Metric(
    "dueto_saga_oldest_not_handed_over_seconds",
    "gauge",
    "Since when the oldest of them was accepted.",
    ("pattern",),
)
STEPS_WAITING = Metric(
    "dueto_steps_waiting", "gauge", "Steps that wait for a decision.", ("decided_by",)
)
STEPS_OVERDUE = Metric(
    "dueto_steps_overdue",
    "gauge",
    "Steps whose decision has been overdue for a minute, and that the worker has not ended.",
)
OUTBOX = Metric("dueto_outbox_unsent", "gauge", "Events that wait to be sent.")
OUTBOX_AGE = Metric(
    "dueto_outbox_oldest_unsent_seconds", "gauge", "The age of the oldest of them; 0 without one."
)
OUTBOX_FAILED = Metric(
    "dueto_outbox_postponed", "gauge", "Events that the broker does not take; they are tried again."
)
MESSAGES_RETRYING = Metric(
    "dueto_messages_retrying", "gauge", "Messages that failed and are tried again."
)
MESSAGES_DEAD = Metric(
    "dueto_messages_dead_lettered", "gauge", "Messages that wait for an operator."
)

ALL = tuple(value for value in vars().values() if isinstance(value, Metric))
"""In this order they are shown."""
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in ALL}

_counted: dict[Key, float] = {}
_series: Counter[str] = Counter()
_lock = threading.Lock()


def count(metric: Metric, *labels: str, by: float = 1) -> None:
    """Adds to a counter; `labels`: their values, in the metric's order."""
    with _lock:
        _add((metric.name, *labels), len(metric.labels), by)


def observe(metric: Metric, value: float, *labels: str) -> None:
    """Adds a value to a histogram."""
    at = bisect_left(metric.bounds, value)
    bound = str(metric.bounds[at]) if at < len(metric.bounds) else INFINITE
    with _lock:
        _add((metric.name, *labels, bound), len(metric.labels), 1)
        _add((metric.name, *labels, SUM), len(metric.labels), value)


def _add(key: Key, labels: int, by: float) -> None:
    if key not in _counted:
        if _series[key[0]] >= MOST_SERIES:
            key = (key[0], *[OTHER] * labels, *key[1 + labels :])
        _series[key[0]] += key not in _counted
    _counted[key] = _counted.get(key, 0) + by


def counted() -> dict[Key, float]:
    """What this process has counted so far."""
    with _lock:
        return dict(_counted)


_BETWEEN = "|"


def told() -> dict[str, float]:
    """The same with a word for each key, as a heartbeat tells it."""
    return {
        _BETWEEN.join(part.replace(_BETWEEN, "_") for part in key): value
        for key, value in counted().items()
    }


def received(counters: Mapping[str, float]) -> dict[Key, float]:
    """What was told so, without what else a heartbeat counts."""
    keys = {name: tuple(name.split(_BETWEEN)) for name in counters}
    return {key: counters[name] for name, key in keys.items() if key[0] in BY_NAME}
