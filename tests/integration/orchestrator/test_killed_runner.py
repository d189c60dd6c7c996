"""A worker is killed in the middle of its sagas: another has them within five seconds."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connections

from catalogue import SAGAS
from loadtests.measuring.samples import percentile
from saga_orchestrator import operations
from saga_orchestrator.models import Runner, Saga
from tests.integration.orchestrator.test_slowness import steps_with
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(transaction=True, databases=["saga_orchestrator"])

ROOT = Path(__file__).resolve().parents[3]
COUNT = 200
WITHIN_SECONDS = 5.0


def database_url() -> str:
    """The URL of the tests' database."""
    known = connections["saga_orchestrator"].settings_dict
    login = f"{known['USER']}:{quote(known['PASSWORD'])}"
    place = f"host={quote(known['HOST'])}&port={known['PORT'] or 5432}"
    return f"postgresql://{login}@/{known['NAME']}?{place}"


@pytest.fixture
def worker(services):
    """Starts the orchestrator's worker as a process; kills the remaining ones at the end."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        known = Runner.objects.count()
        environment = os.environ | {
            "DUETO_SERVICE": "saga_orchestrator",
            "SAGA_ORCHESTRATOR_DATABASE_URL": database_url(),
            "CARRITO_SERVICE_URL": services.url,
            "INVENTARIO_SERVICE_URL": services.url,
            "PAGOS_SERVICE_URL": services.url,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "manage.py", "worker"],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        eventually(lambda: Runner.objects.count() > known, seconds=120, what="it has signed on")
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.wait()


def owners() -> Counter[int]:
    """How many sagas each runner has."""
    held = Saga.objects.filter(runner_id__isnull=False)
    return Counter(held.values_list("runner_id", flat=True))


def test_sagas_of_a_killed_worker_are_taken_over_within_five_seconds(
    worker, start, services, monkeypatch
):
    # The calls that are out must not end by themselves before the worker is killed.
    monkeypatch.setattr(operations, "SAGAS", {"checkout": steps_with(process_payment=60.0)})
    gate = services.waits("process_payment")
    workers = {process.pid: process for process in (worker(), worker())}
    saga_ids = start(COUNT)
    eventually(lambda: owners().total() == COUNT, what="every saga has a runner")
    ((victim, count),) = owners().most_common(1)
    held = set(Saga.objects.filter(runner_id=victim).values_list("saga_id", flat=True))
    workers[Runner.objects.get(pk=victim).pid].send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    taken_after: dict[str, float] = {}

    def all_taken() -> bool:
        now = time.monotonic() - killed_at
        others = Saga.objects.filter(pk__in=held).exclude(runner_id=victim)
        for saga_id in others.values_list("saga_id", flat=True):
            taken_after.setdefault(saga_id, now)
        return len(taken_after) == count

    eventually(all_taken, seconds=120, what="another one has them")
    assert percentile(taken_after.values(), 0.99) <= WITHIN_SECONDS
    gate.set()
    eventually(
        lambda: Saga.objects.filter(pk__in=saga_ids, status="completed").count() == COUNT,
        seconds=120,
        what="all complete",
    )
    done = [(step.name, "do") for step in SAGAS["checkout"].steps[1:]]
    assert all(services.effects(saga_id) == done for saga_id in saga_ids)
