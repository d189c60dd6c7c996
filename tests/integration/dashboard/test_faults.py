"""Faults on purpose: only the local stack's processes, only for requests from this machine."""

import json
import signal
import subprocess
import sys

import psutil
import pytest

from dashboard import faults
from stack import children
from stack.children import bound_to_parent
from tests.waiting import eventually

pytestmark = pytest.mark.django_db(databases=["default"])
ASKED = {"service": "pagos", "what": "stop"}


@pytest.fixture
def worker():
    """A process in a group of its own, as the stack's are."""
    endless = [sys.executable, "-c", "import signal; signal.pause()"]
    command = bound_to_parent(endless, on_parent_death=signal.SIGKILL)
    with subprocess.Popen(command, start_new_session=True) as process:
        yield psutil.Process(process.pid)
        process.kill()


@pytest.fixture
def record(worker, tmp_path, monkeypatch):
    """Writes the stack's record of it; changed, if `known` says so."""
    path = tmp_path / "run.json"
    monkeypatch.setenv(faults.RECORD, str(path))

    def write(**known):
        is_it = {**children.identify(worker.pid), **known}
        path.write_text(json.dumps({"processes": {"pagos.worker": is_it, "postgres": is_it}}))

    write()
    return write


def status_of(client, **headers):
    return client.post("/dashboard/race/break", ASKED, **headers).status_code


def test_service_stands_still_and_goes_on(worker, record, admin_client, monkeypatch):
    monkeypatch.setattr(faults, "STOP_SECONDS", 0.3)
    assert status_of(admin_client) == 302
    eventually(lambda: worker.status() == psutil.STATUS_STOPPED, what="it is stopped")
    eventually(lambda: worker.status() != psutil.STATUS_STOPPED, what="it goes on")


def test_worker_is_killed(worker, record, admin_client):
    admin_client.post("/dashboard/race/break", {"service": "pagos", "what": "kill"})
    assert worker.wait(10) is not None


@pytest.mark.parametrize("service", ["postgres", "none", "pagos.worker", ""])
def test_nothing_else_of_the_stack_is_broken(worker, record, admin_client, service):
    admin_client.post("/dashboard/race/break", {"service": service, "what": "kill"})
    assert worker.is_running()
    assert worker.status() != psutil.STATUS_ZOMBIE


def test_number_that_is_another_process_by_now_is_left_alone(worker, record, admin_client):
    record(started=1)
    admin_client.post("/dashboard/race/break", {"service": "pagos", "what": "kill"})
    assert worker.status() != psutil.STATUS_ZOMBIE


def test_only_a_superuser_at_this_machine_may(record, admin_client, django_user_model, monkeypatch):
    assert "Break something" in admin_client.get("/dashboard/race").content.decode()
    for elsewhere in ({"REMOTE_ADDR": "10.0.0.7"}, {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}):
        assert status_of(admin_client, **elsewhere) == 403
        shown = admin_client.get("/dashboard/race", **elsewhere).content.decode()
        assert "Break something" not in shown
    monkeypatch.delenv(faults.RECORD)
    assert status_of(admin_client) == 403, "no local stack"
    django_user_model.objects.update(is_superuser=False)
    assert status_of(admin_client) == 403
