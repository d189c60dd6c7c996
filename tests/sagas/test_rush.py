"""Many orders for few units, while a process dies: exactly the stock is sold.

More of it: DUETO_RUSH=1000,100,10, the orders, units and couriers' places.
"""

import os
import signal
import threading
from collections import Counter
from itertools import product as every

import pytest

from catalogue import SAGAS
from contracts.patterns import PATTERNS
from tests.checkout.shop import OWNED_IN, Shop
from tests.sagas.conftest import DELIVERING, SELLING
from tests.waiting import eventually

ORDERS, UNITS, PLACES = map(int, os.environ.get("DUETO_RUSH", "60,20,5").split(","))
VICTIMS = {
    "orchestrated": ("saga_orchestrator.worker", "inventario.web"),
    "choreographed": ("inventario.worker", "{owner}.worker"),
    "orchestrated_messaging": ("saga_orchestrator.worker", "inventario.worker"),
}
"""The process that dies once a third, and once two thirds, of the orders are accepted."""


def accepted(shop: Shop, owner: str, since: int) -> int:
    ((count,),) = shop.rows(owner, f"SELECT count(*) FROM {OWNED_IN[owner]}")
    return int(count) - since


@pytest.mark.timeout(120 + ORDERS)
def test_exactly_the_stock_is_sold_whatever_process_dies(shop, stack, saga, pattern):
    owner = SAGAS[saga].owner
    area, product = shop.courier(capacity=PLACES), shop.product(quantity=UNITS)
    wishes = shop.wishes(ORDERS, saga=saga, pattern=pattern, product=product, destination=area)
    before, begun = accepted(shop, owner, 0), []
    load = threading.Thread(target=lambda: begun.extend(shop.begin_all(wishes, at_once=8)))
    load.start()
    for number, victim in enumerate(VICTIMS[pattern], start=1):
        eventually(
            lambda due=ORDERS * number / 3: accepted(shop, owner, before) >= due,
            seconds=60,
            what=f"so many are accepted that {victim} is killed",
        )
        stack.kill(victim.format(owner=owner), signal.SIGKILL)
    load.join()
    sold = min(UNITS, PLACES) if saga in DELIVERING else UNITS
    ends = shop.all_ended(begun, saga=saga, seconds=60 + ORDERS)
    assert (ends["completed"], ends.total()) == (sold, ORDERS)
    assert shop.stock(product) == (UNITS - sold, 0, sold)
    stack.wait_ready()


def test_every_saga_and_pattern_share_one_stock(shop):
    product = shop.product(quantity=UNITS)
    kinds = list(every(SELLING, PATTERNS))
    each = -(-2 * UNITS // len(kinds))
    wishes = [
        wish
        for saga, pattern in kinds
        for wish in shop.wishes(each, saga=saga, pattern=pattern, product=product)
    ]
    begun = dict(zip(shop.begin_all(wishes), wishes, strict=True))
    ends: Counter[str] = Counter()
    for saga in SELLING:
        own = [saga_id for saga_id, wish in begun.items() if wish.saga == saga]
        ends += shop.all_ended(own, saga=saga)
    assert (ends["completed"], ends.total()) == (UNITS, len(wishes))
    assert shop.stock(product) == (0, 0, UNITS)
