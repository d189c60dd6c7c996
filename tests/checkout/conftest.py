"""The running shop: each behaviour is tested once, for every pattern."""

import pytest

from contracts.patterns import PATTERNS


@pytest.fixture(params=list(PATTERNS))
def pattern(request):
    return request.param


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    """After each module nothing is lost, doubled or left hanging."""
    yield
    shop.audit()
