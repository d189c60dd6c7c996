"""Every metric of every service, a row each, and this process's counts of them.

Counting changes an entry of a dictionary under a lock: less than a microsecond, and no thread. A
web process shows its own figures at /metrics (`httpapi.metrics`); a worker, which has no port,
writes its figures with its heartbeat, and the web process of its service shows them too. Both start
at zero with their process, as Prometheus expects of a counter.

Labels are names from the catalogue, never ids. Any other value (a step that is called by hand, a
row that was edited by hand) counts as `other` once a metric has MOST_SERIES.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import msgspec

MOST_SERIES = 500
"""Series of one metric: the catalogue's sagas, steps, directions and outcomes make some 300."""
OTHER = "other"
SUM, INFINITE = "sum", "+Inf"

Key = tuple[str, ...]
"""A metric's name and its labels' values; for a histogram also a bucket's upper limit, or SUM."""


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

# Counted in the process that does the work.
ACCEPTED = Metric(
    "dueto_sagas_accepted_total", "counter", "Sagas that their owner has accepted.", _SAGA
)
DURATION = Metric(
    "dueto_saga_duration_seconds",
    "histogram",
    "From a saga's acceptance to its outcome, by the owner's row and its database's clock. A"
    " completed saga that is returned later ends again, as compensated.",
    (*_SAGA, "outcome"),
    SECONDS,
)
STEPS = Metric(
    "dueto_steps_total",
    "counter",
    "Commands that a service has answered. waiting: for a decision, which is counted later;"
    " repeated: answered with the stored outcome. Without a saga: by hand.",
    (*_STEP, "outcome"),
)
FAULTS = Metric(
    "dueto_step_faults_total",
    "counter",
    "Calls and requests of the orchestrator without an answer; each is retried, until the saga is"
    " parked or goes backward.",
    (*_STEP, "pattern"),
)
BATCH = Metric(
    "dueto_batch_items",
    "histogram",
    "Sizes of batches: commands in a transaction, messages consumed or published together, sagas"
    " handed over in a call.",
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
    "Requests that were refused as overloaded (503). admission: more sagas come than can be done;"
    " slots: more requests than a web process can hold.",
    ("reason",),
)

# Counters of a worker's components, as its heartbeat has them.
PUBLISHED = Metric("dueto_messages_published_total", "counter", "Messages the broker has taken.")
CONSUMED = Metric("dueto_messages_consumed_total", "counter", "Messages that were handled.")
FAILED = Metric(
    "dueto_messages_failed_total",
    "counter",
    "Messages whose handling failed; each is retried, and dead-lettered in the end.",
)
CALLS = Metric(
    "dueto_calls_total", "counter", "Calls of the orchestrator over HTTP.", ("participant",)
)
REMEDIES = Metric(
    "dueto_watchdog_remedies_total",
    "counter",
    "Remedies of the watchdog for choreographed sagas that stood still.",
    ("remedy",),
)
BROKER_UP = Metric("dueto_broker_up", "gauge", "1 while the broker answers the workers.")
QUEUE = Metric(
    "dueto_queue_messages",
    "gauge",
    "Messages in the service's queue (work) and in its dead-letter queue (dead).",
    ("queue",),
)
BREAKER = Metric(
    "dueto_breaker_open",
    "gauge",
    "1 while the orchestrator's circuit breaker for that service is open.",
    ("participant",),
)
HELD = Metric("dueto_runner_sagas", "gauge", "Sagas that runners have in flight now.")

# Read at each scrape, through small partial indexes.
DATABASE_UP = Metric(
    "dueto_database_up", "gauge", "1 while the service's database answers and takes writes."
)
WORKERS = Metric(
    "dueto_worker_processes",
    "gauge",
    "Worker processes: up, stands_still (running without a heartbeat), or dead.",
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
    "The age of the oldest of them; 0 without one.",
    (*_SAGA, "state"),
)
ACCEPTED_ONLY = Metric(
    "dueto_sagas_not_handed_over",
    "gauge",
    "Sagas that were accepted and not yet handed over to a coordinator, at most 1000 per pattern.",
    ("pattern",),
)
OLDEST_ACCEPTED_ONLY = Metric(
    "dueto_saga_oldest_not_handed_over_seconds",
    "gauge",
    "Seconds since the oldest of them was accepted.",
    ("pattern",),
)
STEPS_WAITING = Metric(
    "dueto_steps_waiting", "gauge", "Steps that wait for a decision.", ("decided_by",)
)
STEPS_OVERDUE = Metric(
    "dueto_steps_overdue",
    "gauge",
    "Steps that the worker has not ended although their decision is overdue by a minute.",
)
OUTBOX = Metric("dueto_outbox_unsent", "gauge", "Events that wait to be sent.")
OUTBOX_AGE = Metric(
    "dueto_outbox_oldest_unsent_seconds", "gauge", "The age of the oldest of them; 0 without one."
)
OUTBOX_FAILED = Metric(
    "dueto_outbox_postponed", "gauge", "Events that the broker does not take; they are retried."
)
MESSAGES_RETRYING = Metric(
    "dueto_messages_retrying", "gauge", "Messages that failed and are retried."
)
MESSAGES_DEAD = Metric(
    "dueto_messages_dead_lettered", "gauge", "Messages that wait for an operator."
)

ALL = tuple(value for value in vars().values() if isinstance(value, Metric))
"""In the order in which they are shown."""
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
    """The counts with a text for each key, as a heartbeat contains them."""
    return {
        _BETWEEN.join(part.replace(_BETWEEN, "_") for part in key): value
        for key, value in counted().items()
    }


def received(counters: Mapping[str, float]) -> dict[Key, float]:
    """The counts in a heartbeat, without its other counters."""
    keys = {name: tuple(name.split(_BETWEEN)) for name in counters}
    return {key: counters[name] for name, key in keys.items() if key[0] in BY_NAME}
