"""The whole shop, really running: each behaviour is written once, and runs for every pattern."""

import pytest

from contracts.patterns import PATTERNS


@pytest.fixture(params=list(PATTERNS))
def pattern(request):
    return request.param


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    """Whatever a module did to the shop, nothing is lost, doubled or left hanging afterwards."""
    yield
    shop.audit()
