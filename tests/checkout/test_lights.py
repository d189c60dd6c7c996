"""Whatever process or server is stopped, the health checks name only it, and are green again
afterwards.
"""

import os
import signal
import subprocess
import sys

import pytest

from stack import record, status
from tests.waiting import eventually

STOPPED = ("pagos.web", "saga_choreography.worker", "dashboard.web", "rabbitmq", "postgres")
"""One process of each kind."""
STALLS = {
    "orchestrated": ("pagos.web", "orchestrated sagas are in flight"),
    "choreographed": ("pagos.worker", "choreographed sagas are in flight"),
}


@pytest.fixture
def lights(stack):
    """Reads the health as `manage.py status` does."""
    folder = stack.folder

    def look():
        return status.read(record.read(folder), folder)

    return look


@pytest.fixture
def stopped(stack):
    """Stops a process; all stopped processes continue in the end."""
    names = []

    def stop(name):
        names.append(name)
        stack.kill(name, signal.SIGSTOP)

    yield stop
    for name in names:
        stack.kill(name, signal.SIGCONT)


def named(report, name):
    return [
        stand for stand in report.attention if stand.source == name and stand.level == "unavailable"
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", STOPPED)
def test_process_that_is_stopped_is_named_and_all_is_green_after_it(stack, lights, stopped, name):
    eventually(lambda: lights().is_healthy, seconds=60, what="all is green before")
    stopped(name)
    report = lights()
    assert not report.is_healthy
    (standing,) = named(report, name)
    assert f"kill -CONT {stack.processes[name]}" in standing.do
    assert standing.since
    table = status.as_table(record.read(stack.folder), report)
    assert all(len(line) < 100 for line in table.splitlines())
    stack.kill(name, signal.SIGCONT)
    eventually(lambda: lights().is_healthy, seconds=60, what="all is green again")


@pytest.mark.timeout(180)
def test_worker_is_named_by_its_service_too(stack, shop, stopped):
    """Also without access to the worker's process: in a container, on another host."""
    pid = stack.processes["inventario.worker"]
    stopped("inventario.worker")

    def is_named():
        code, body = shop.call("GET", "inventario", "/health")
        return code == 503 and any(
            f"process {pid} on" in entry["what"] for entry in body["attention"]
        )

    eventually(is_named, seconds=120, what="it is named")
    stack.kill("inventario.worker", signal.SIGCONT)
    eventually(lambda: shop.call("GET", "inventario", "/health")[0] == 200, seconds=120)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("pattern", STALLS)
def test_coordinator_reports_by_itself_that_its_sagas_do_not_move(stack, shop, stopped, pattern):
    name, words = STALLS[pattern]
    coordinator = "saga_choreography" if pattern == "choreographed" else "saga_orchestrator"
    product = shop.product(quantity=5)
    stopped(name)
    _, accepted = shop.check_out(shop.cart(product=product), pattern)

    def complaints():
        code, body = shop.call("GET", coordinator, "/health")
        return code == 503 and [entry for entry in body["attention"] if words in entry["what"]]

    (complaint,) = eventually(complaints, seconds=60, what="it says that nothing moves")
    assert accepted["saga_id"] in complaint["what"]
    stack.kill(name, signal.SIGCONT)
    shop.ended(accepted["saga_id"], seconds=90)
    eventually(lambda: shop.call("GET", coordinator, "/health")[0] == 200, seconds=60)


@pytest.mark.timeout(240)
def test_leader_that_is_stopped_loses_its_lead_to_another(stack, shop, stopped):
    environment = os.environ | stack.environment | {"DUETO_SERVICE": "carrito"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    product = shop.product(quantity=5)
    with subprocess.Popen(
        [sys.executable, "manage.py", "worker"], env=environment, **quiet
    ) as second:
        try:
            eventually(lambda: len(workers(shop)) == 2, seconds=60, what="the second has come")
            stopped("carrito.worker")
            _, accepted = shop.check_out(shop.cart(product=product), "orchestrated")
            assert shop.ended(accepted["saga_id"], seconds=60)["status"] == "completed"
            stack.kill("carrito.worker", signal.SIGCONT)
        finally:
            second.terminate()
            second.wait()
    eventually(lambda: shop.call("GET", "carrito", "/health")[0] == 200, seconds=60)
    _, accepted = shop.check_out(shop.cart(product=product), "orchestrated")
    assert shop.ended(accepted["saga_id"], seconds=60)["status"] == "completed"


def workers(shop):
    return [
        worker
        for worker in shop.call("GET", "carrito", "/health")[1].get("workers", [])
        if worker["status"] == "up"
    ]
