"""A leader that stands still loses its lead, and does no harm when it goes on."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from messaging import worker
from messaging.worker import wait_to_lead
from tests.integration.httpapi.conftest import ROOT, database_url
from tests.threads import InThread

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])
SERVICE = "inventario"
LEADS = """
import threading, time, django
from django.db import Error, connections
django.setup()
from messaging.worker import wait_to_lead
from participant import sql
while True:
    wait_to_lead(service="inventario", task="test", stop=threading.Event())
    print("leads", flush=True)
    try:
        while True:
            sql.execute(service="inventario", sql="SELECT 1")
            time.sleep(0.05)
    except Error:
        connections["inventario"].close()
        print("lost", flush=True)
"""


@pytest.fixture
def other():
    """A process that leads, and keeps issuing statements as leaders do."""
    environment = os.environ | {
        "DUETO_SERVICE": SERVICE,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "INVENTARIO_DATABASE_URL": database_url(SERVICE),
    }
    with subprocess.Popen(
        [sys.executable, "-c", LEADS], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "leads\n"
        yield process
        process.kill()


@pytest.fixture
def follower(monkeypatch):
    """Waits for the lead, in a thread."""
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(worker, "LEAD_SECONDS", 1.0)
    stop = threading.Event()
    yield InThread(lambda: wait_to_lead(service=SERVICE, task="test", stop=stop), service=SERVICE)
    stop.set()


def test_working_leader_keeps_the_lead(other, follower):
    follower._thread.join(4)
    assert follower.is_running()


def test_hanging_leader_loses_the_lead_and_has_to_ask_again(other, follower):
    other.send_signal(signal.SIGSTOP)
    assert follower.result() is True
    other.send_signal(signal.SIGCONT)
    assert other.stdout.readline() == "lost\n"
    assert other.stdout.readline() == "leads\n", "the follower's connection is closed by now"


def test_control_without_the_time_limit_it_would_lead_for_ever(other, follower, monkeypatch):
    monkeypatch.setattr(worker, "_depose_one_that_stands_still", lambda *_: None)
    other.send_signal(signal.SIGSTOP)
    follower._thread.join(4)
    assert follower.is_running()
    other.send_signal(signal.SIGCONT)
