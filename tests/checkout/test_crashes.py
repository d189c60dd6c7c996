"""Processes are killed under load: every accepted checkout still ends, and the audit is clean."""

import os
import signal
import threading

import pytest
import urllib3

from contracts.patterns import PATTERNS, TEMPORAL
from stack import children
from tests.waiting import eventually

CHECKOUTS_A_KILL, OF_TEMPORAL = 40, 10
"""The latter where a checkout takes twenty times the CPU."""
KILL_TIMEOUT = 5.0
"""After it Granian kills its own process that has not stopped (stack/services.py)."""

KILLED = {
    "orchestrated": [
        "saga_orchestrator.worker",
        "saga_orchestrator.web",
        "carrito.worker",
        "carrito.web",
        "inventario.web",
        "pagos.web",
    ],
    "choreographed": [
        "saga_choreography.worker",
        "saga_choreography.web",
        "carrito.worker",
        "carrito.web",
        "inventario.worker",
        "pagos.worker",
    ],
    "orchestrated_messaging": [
        "saga_orchestrator.worker",
        "inventario.worker",
    ],
    "temporal": [
        "saga_temporal.worker",
        "temporal",
        "saga_temporal.web",
        "carrito.web",
        "inventario.web",
        "pagos.web",
    ],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pattern", [name for name in KILLED if name in PATTERNS])
def test_killed_under_load_loses_nothing(shop, stack, pattern):
    """Kills one process after the other, each when that many more checkouts have begun."""
    a_kill = OF_TEMPORAL if pattern == TEMPORAL else CHECKOUTS_A_KILL
    checkouts = a_kill * (len(KILLED[pattern]) + 1)
    product = shop.product(quantity=checkouts)
    carts = shop.carts(checkouts, product=product)
    sagas = []
    load = threading.Thread(
        target=lambda: sagas.extend(shop.check_out_all(carts, [pattern], at_once=8))
    )
    load.start()
    for number, victim in enumerate(KILLED[pattern], start=1):
        eventually(
            lambda due=number * a_kill: started(shop, carts) >= due,
            seconds=60,
            what=f"the load is on its way to the kill of {victim}",
        )
        stack.kill(victim, signal.SIGKILL)
    load.join()
    assert shop.all_ended(sagas) == {"completed": checkouts}
    assert shop.stock(product) == (0, 0, checkouts)
    stack.wait_ready()


def started(shop, carts):
    ((count,),) = shop.rows(
        "carrito", "SELECT count(*) FROM carrito_checkout WHERE cart_id = ANY(%s)", [carts]
    )
    return count


def test_web_process_stops_after_sigterm(shop, stack):
    """Also while connections open and close, and before Granian would kill it."""
    is_over = threading.Event()

    def ask(url):
        with urllib3.PoolManager() as pool:
            while not is_over.wait(0.02):
                try:
                    pool.request("GET", f"{url}/health/ready", retries=False, timeout=1)
                except urllib3.exceptions.HTTPError:
                    continue

    asking = [threading.Thread(target=ask, args=(url,)) for url in stack.urls.values()]
    for thread in asking:
        thread.start()
    try:
        for name in [name for name in stack.processes if name.endswith(".web")]:
            process = children.identify(stack.processes[name])
            os.kill(process["pid"], signal.SIGTERM)
            assert children.wait_for_end(process, seconds=KILL_TIMEOUT - 0.5), name
    finally:
        is_over.set()
        for thread in asking:
            thread.join()
    stack.wait_ready()
