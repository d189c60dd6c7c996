"""Many shoppers, few units: exactly as many as there are get one."""

import itertools

from contracts.statuses import Pattern

SHOPPERS = 400
UNITS = 100


def test_hundred_units_are_sold_exactly_once_each(shop, pattern):
    product = shop.product(quantity=UNITS)
    carts = shop.carts(SHOPPERS, product=product)
    counted = shop.all_ended(shop.check_out_all(carts, itertools.repeat(pattern)))
    assert counted == {"completed": UNITS, "failed": SHOPPERS - UNITS}
    assert shop.stock(product) == (0, 0, UNITS)


def test_patterns_share_one_stock_fairly(shop):
    product = shop.product(quantity=UNITS)
    carts = shop.carts(SHOPPERS, product=product)
    counted = shop.all_ended(shop.check_out_all(carts, Pattern))
    assert counted == {"completed": UNITS, "failed": SHOPPERS - UNITS}
    assert shop.stock(product) == (0, 0, UNITS)
