"""Every process of the shop is two minutes ahead of its servers: the database's clock decides."""

import pytest

from contracts.patterns import PATTERNS
from tests.skewed import SKEW

EACH = 4


@pytest.fixture(scope="module")
def shop(unusual_shop):
    return unusual_shop


def test_checkouts_complete_in_every_pattern(shop):
    product = shop.product(quantity=100)
    for pattern in PATTERNS:
        sagas = shop.check_out_all(shop.carts(EACH, product=product), [pattern])
        assert shop.all_ended(sagas) == {"completed": EACH}, pattern
    assert shop.rows("saga_choreography", "SELECT * FROM saga_choreography_intervention") == []
    ((apart,),) = shop.rows(
        "inventario",
        "SELECT extract(epoch FROM max(sent_at) - max(created_at)) FROM inventario_outboxentry",
    )
    assert apart > SKEW - 30, "what a process writes by its own clock is two minutes ahead"
