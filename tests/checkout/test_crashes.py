"""Processes are killed under load: every accepted checkout still ends, and the audit is clean."""

import signal
import threading

import pytest

from tests.waiting import eventually

CHECKOUTS_A_KILL = 40

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
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("pattern", KILLED)
def test_killed_under_load_loses_nothing(shop, stack, pattern):
    """One process after the other, each when so many more checkouts have begun."""
    checkouts = CHECKOUTS_A_KILL * (len(KILLED[pattern]) + 1)
    product = shop.product(quantity=checkouts)
    carts = shop.carts(checkouts, product=product)
    sagas = []
    load = threading.Thread(
        target=lambda: sagas.extend(shop.check_out_all(carts, [pattern], at_once=8))
    )
    load.start()
    for number, victim in enumerate(KILLED[pattern], start=1):
        eventually(
            lambda due=number * CHECKOUTS_A_KILL: started(shop, carts) >= due,
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
