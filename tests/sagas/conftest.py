"""What belongs to every saga: written once, and run for each of them in every pattern."""

import pytest

from contracts.catalogue import SAGAS
from contracts.patterns import PATTERNS


@pytest.fixture(params=list(PATTERNS))
def pattern(request):
    return request.param


@pytest.fixture(params=list(SAGAS))
def saga(request):
    """Its name."""
    return request.param


@pytest.fixture(params=[name for name, page in SAGAS.items() if page.owner == "pedidos"])
def delivered(request):
    """The name of a saga that ends with a delivery."""
    return request.param


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    """Whatever a module did to the shop, nothing is lost, doubled or left hanging afterwards."""
    yield
    shop.audit()
