"""Processes are killed under load: every accepted checkout still ends, and the audit is clean."""

import signal
import threading

import pytest

from tests.checkout.shop import eventually

CHECKOUTS = 90

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
@pytest.mark.parametrize(
    ("pattern", "victim"), [(pattern, one) for pattern in KILLED for one in KILLED[pattern]]
)
def test_killed_under_load_loses_nothing(shop, stack, pattern, victim):
    product = shop.product(quantity=CHECKOUTS)
    carts = shop.carts(CHECKOUTS, product=product)
    sagas = []
    load = threading.Thread(
        target=lambda: sagas.extend(shop.check_out_all(carts, [pattern], at_once=8))
    )
    load.start()
    eventually(lambda: started(shop, carts) > CHECKOUTS // 4, what="the load is on its way")
    stack.kill(victim, signal.SIGKILL)
    load.join()
    assert shop.all_ended(sagas) == {"completed": CHECKOUTS}
    assert shop.stock(product) == (0, 0, CHECKOUTS)
    stack.wait_ready()


def started(shop, carts):
    ((count,),) = shop.rows(
        "carrito", "SELECT count(*) FROM carrito_checkout WHERE cart_id = ANY(%s)", [carts]
    )
    return count
