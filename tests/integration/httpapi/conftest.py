"""A service whose health is checked."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connections
from django.urls import get_resolver

from httpapi import health
from httpapi.standing import Noted
from inventario.models import WorkerHeartbeat
from messaging.brokers import connect
from messaging.components import make_topology
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def lights(client, settings, monkeypatch):
    """Status and body of the service's /health; every check has a connection of its own."""
    monkeypatch.setattr(health, "_noted", Noted())
    assert get_resolver().url_patterns, "read before SERVICE is set: other tests need all of them"

    def look(service="inventario"):
        settings.SERVICE = service
        answer = client.get("/health")
        return answer.status_code, answer.json()

    return look


@pytest.fixture
def living():
    """The heartbeat of a worker of inventario, the only one."""
    WorkerHeartbeat.objects.all().delete()
    return WorkerHeartbeat.objects.create(host="here", pid=1, counters={"broker_up": 1})


def stands(body):
    """The texts of the problems that keep sagas from moving."""
    return [entry["what"] for entry in body["attention"] if entry["level"] == "unavailable"]


def waits(body):
    """The texts of the problems that only wait for an operator."""
    return [entry["what"] for entry in body["attention"] if entry["level"] == "attention"]


def database_url(service):
    """Of the tests' own database."""
    known = connections[service].settings_dict
    login = f"{known['USER']}:{quote(known['PASSWORD'])}"
    place = f"host={quote(known['HOST'], safe='')}&port={known['PORT'] or 5432}"
    return f"postgresql://{login}@/{known['NAME']}?{place}"


@pytest.fixture
def worker():
    """Starts workers of inventario as processes; kills those that are left in the end."""
    started = []
    broker = connect(settings.BROKER_URL)
    make_topology(broker=broker)
    broker.close()

    def start():
        environment = os.environ | {
            "DUETO_SERVICE": "inventario",
            "INVENTARIO_DATABASE_URL": database_url("inventario"),
        }
        command = [sys.executable, "manage.py", "worker"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, **quiet)
        started.append(process)
        eventually(
            lambda: WorkerHeartbeat.objects.filter(pid=process.pid).exists(),
            seconds=60,
            what="it has signed on",
        )
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def exit_stack():
    """Closes and repairs after a test what it registers here."""
    with ExitStack() as stack:
        yield stack
