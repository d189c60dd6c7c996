"""A forgotten transaction in psql locks a row: all that does not need the row goes on."""

import time

import psycopg
import pytest

from tests.waiting import eventually

EACH = 6


def test_other_products_sell_while_a_row_is_locked(shop, pattern):
    locked, free = shop.product(quantity=EACH), shop.product(quantity=EACH)
    carts = {product: shop.carts(EACH, product=product) for product in (locked, free)}
    with psycopg.connect(shop.stack.superuser_urls["inventario"]) as psql:
        psql.execute("SELECT 1 FROM inventario_product WHERE id = %s FOR UPDATE", [int(locked)])
        waiting = shop.check_out_all(carts[locked], [pattern])
        selling = shop.check_out_all(carts[free], [pattern])
        assert shop.all_ended(selling, seconds=120) == {"completed": EACH}
        started = time.monotonic()
        assert shop.call("GET", "inventario", "/health/live")[0] == 200
        assert time.monotonic() - started < 1
        assert {shop.status(saga_id)["status"] for saga_id in waiting} <= {"pending", "running"}
    assert shop.all_ended(waiting) == {"completed": EACH}
    assert shop.stock(locked) == (0, 0, EACH)


def test_other_carts_are_filled_and_bought_while_one_is_locked(shop, pattern):
    product = shop.product(quantity=10)
    locked, *others = shop.carts(5, product=product)
    with psycopg.connect(shop.stack.superuser_urls["carrito"]) as psql:
        psql.execute("SELECT 1 FROM carrito_cart WHERE id = %s FOR UPDATE", [locked])
        status, body = shop.check_out(locked, pattern)
        assert (status, body["code"]) == (503, "busy")
        selling = shop.check_out_all(others, [pattern])
        assert shop.all_ended(selling) == {"completed": len(others)}
    eventually(lambda: shop.check_out(locked, pattern)[0] == 202, what="it is free again")


@pytest.mark.parametrize("table", ["pagos_payment", "inventario_reservation"])
def test_locked_table_costs_no_saga(shop, pattern, table):
    """As by a migration, or an explicit LOCK TABLE."""
    service = table.partition("_")[0]
    product = shop.product(quantity=EACH)
    carts = shop.carts(EACH, product=product)
    with psycopg.connect(shop.stack.superuser_urls[service]) as psql:
        psql.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        sagas = shop.check_out_all(carts, [pattern])
        until = time.monotonic() + 6
        eventually(lambda: time.monotonic() > until, what="six seconds are over")
    assert shop.all_ended(sagas) == {"completed": EACH}
