import pytest

from messaging.brokers import connect
from messaging.brokers.memory import forget
from tests.integration.pedidos.market import Market


@pytest.fixture
def market():
    made = Market(connect("memory://market"))
    yield made
    forget("market")
    made.close()
