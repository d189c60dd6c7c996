import pytest

from messaging.brokers import connect
from messaging.brokers.memory import forget
from tests.integration.pedidos.in_process import OrderSagas


@pytest.fixture
def order_sagas():
    made = OrderSagas(connect("memory://orders"))
    yield made
    forget("orders")
    made.close()
