"""Every process of the shop is two minutes ahead of its servers: the database's clock decides."""

import pytest

from contracts.patterns import PATTERNS
from stack.local import LocalStack
from tests.checkout.shop import Shop
from tests.skewed.apps import VARIABLE

EACH, SKEW = 4, 130


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop of its own, whose processes believe that it is later."""
    folder = tmp_path_factory.mktemp("stack")
    skewed = {VARIABLE: str(SKEW), "DJANGO_SETTINGS_MODULE": "tests.skewed.settings"}
    options = {"folder": folder, "fresh": True, "free_ports": True, "use_given": False}
    with LocalStack(saga="checkout", environment=skewed, **options) as running:
        yield Shop(running)


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
