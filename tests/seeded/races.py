"""Two workers at the same moment, each in its own transaction.

The first is held just before it commits, until the second has ended, or waits for its lock.
"""

import time

from django.db import connections

from inventario import operations as inventario
from tests.seeded.shop import Shop
from tests.threads import InThread

SERVICE = "inventario"


def two_for_the_last_unit(shop: Shop) -> None:
    """Two workers consume both at once."""
    product = shop.stock(units=1)
    for _ in range(2):
        shop.check_out("choreographed", cart=shop.cart(product))
    _both_consumed_at_once(shop)


def a_late_commit(shop: Shop) -> None:
    """The first to write its event commits last; the relay runs in between."""
    for _ in range(2):
        shop.check_out("choreographed")
    _both_consumed_at_once(shop)


def an_expiry_during_the_sale(shop: Shop) -> None:
    """The sweep runs while the reservation is being sold."""
    shop.check_out("choreographed")
    beside: list[InThread] = []

    def sweep() -> None:
        beside.append(InThread(inventario.expire, service=SERVICE))
        _let_go_on(beside[0])

    shop.at("executing.before_commit of do inventario.commit", sweep)
    shop.settle()
    beside[0].result()
    shop.settle()


def _both_consumed_at_once(shop: Shop) -> None:
    """inventario consumes events of two sagas in two workers; the second's relay runs at once."""
    beside: list[InThread] = []

    def consume_the_other() -> None:
        beside.append(InThread(lambda: _consume_and_relay(shop), service=SERVICE))
        _let_go_on(beside[0])

    shop.one_at_a_time()
    shop.at("executing.before_commit of do inventario.reserve", consume_the_other)
    shop.settle()
    beside[0].result()
    shop.settle()


def _consume_and_relay(shop: Shop) -> None:
    worker = shop.workers[SERVICE].beside()
    worker.consume()
    worker.close()
    worker.relay()


def _let_go_on(thread: InThread) -> None:
    """Returns once the thread has ended, or waits for a lock of this one."""
    deadline = time.monotonic() + 10
    while thread.is_running() and not _is_blocked():
        assert time.monotonic() < deadline, "the thread neither ends nor waits"
        time.sleep(0.005)


def _is_blocked() -> bool:
    with connections["pagos"].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) > 0 FROM pg_stat_activity"
            " WHERE datname = %s AND wait_event_type = 'Lock'",
            [connections[SERVICE].settings_dict["NAME"]],
        )
        return cursor.fetchone()[0]
