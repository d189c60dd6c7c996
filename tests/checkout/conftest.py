"""The whole shop, really running: each behaviour is written once, and runs for every pattern."""

import pytest

from contracts.statuses import Pattern
from stack.local import LocalStack
from tests.checkout.shop import Shop


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """All services as processes, with databases and a broker of their own."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder=folder, fresh=True, free_ports=True, use_given=False) as running:
        yield running


@pytest.fixture(scope="session")
def shop(stack):
    return Shop(stack)


@pytest.fixture(params=[pattern.value for pattern in Pattern])
def pattern(request):
    return request.param


@pytest.fixture(autouse=True, scope="module")
def _ends_with_a_clean_audit(shop):
    """Whatever a module did to the shop, nothing is lost, doubled or left hanging afterwards."""
    yield
    shop.audit()
