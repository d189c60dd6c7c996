"""In the choreography nobody conducts: with the tracking gone, checkouts still end right."""

import signal

from tests.checkout.shop import eventually


def unsent(shop):
    ((count,),) = shop.rows(
        "saga_choreography",
        "SELECT count(*) FROM saga_choreography_outboxentry WHERE sent_at IS NULL",
    )
    return count


def test_checkouts_end_with_the_tracking_stopped(shop, stack):
    product = shop.product(quantity=20)
    stack.kill("inventario.worker", signal.SIGSTOP)
    try:
        sagas = shop.check_out_all(shop.carts(20, product=product), ["choreographed"])
        eventually(lambda: handed_over(shop, sagas) == 20, what="all are handed over")
        eventually(lambda: unsent(shop) == 0, what="the first events are out")
        stack.stop_process("saga_choreography.worker")
        stack.stop_process("saga_choreography.web")
    finally:
        stack.kill("inventario.worker", signal.SIGCONT)
    try:
        assert shop.all_ended(sagas) == {"completed": 20}
        assert shop.stock(product) == (0, 0, 20)
    finally:
        stack.restart("saga_choreography.web")
        stack.restart("saga_choreography.worker")
        stack.wait_ready()


def handed_over(shop, sagas):
    ((count,),) = shop.rows(
        "carrito",
        "SELECT count(*) FROM carrito_checkout WHERE saga_id = ANY(%s)"
        " AND handed_over_at IS NOT NULL",
        [sagas],
    )
    return count
