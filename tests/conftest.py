"""What all tests share."""

from decimal import Decimal

import hypothesis
import msgspec
import pytest
from django.conf import settings
from django.db import connections

from messaging import wakeups
from pagos import desk
from stack.local import LocalStack
from tarjetas import operations as network
from tests.checkout.shop import Shop

# How long an example takes is the machine's affair, all the more beside other tests.
hypothesis.settings.register_profile("dueto", deadline=None)
hypothesis.settings.load_profile("dueto")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-faults",
        action="store_true",
        help="tests/chaos: every process at every point, killed, cut off, without its database",
    )
    parser.addoption(
        "--fuzz", type=int, default=300, help="tests/fuzz: how many requests, and messages"
    )
    parser.addoption(
        "--sagas", type=int, default=5_000, help="tests/growth: among how many finished sagas"
    )
    parser.addoption("--fuzz-seed", type=int, default=0, help="tests/fuzz: the same ones again")


def pytest_configure() -> None:
    # The live server's threads outlive a test; their connections must not.
    for database in settings.DATABASES.values():
        database["CONN_MAX_AGE"] = 0
    # A shop that somebody runs beside the tests has other prices: nobody asks it for them.
    settings.SERVICE_URLS["inventario"] = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_late_wakeups(_django_db_marker):
    """A wake-up that a test's commit has caused is over before its database is out of reach."""
    yield
    wakeups.close()


class CardNetwork(desk.Network):
    """The card network itself, called in this process: its code and its database, and no HTTP."""

    def __init__(self) -> None:
        super().__init__(url=settings.SERVICE_URLS["tarjetas"])

    def _post(self, path, body, kind):
        try:
            if path == "/refunds":
                return network.refund(keys=[one["key"] for one in body])
            asked = [network.Asked(**one | {"amount": Decimal(one["amount"])}) for one in body]
            return msgspec.convert(
                [msgspec.to_builtins(one) for one in network.charge(asked=asked)], type=kind
            )
        finally:
            its_own = connections["tarjetas"]
            if not its_own.in_atomic_block:
                its_own.close()  # on whatever thread pagos has asked


@pytest.fixture(autouse=True)
def card_network(monkeypatch):
    """Whatever pagos does within a test asks the card network within it."""
    card_network = CardNetwork()
    monkeypatch.setattr(desk, "network", lambda: card_network)
    monkeypatch.setattr(desk.AT_ONCE, "_silent_until", 0.0)
    return card_network


@pytest.fixture
def admin_client(client, django_user_model):
    """Logged in without a password, whose hashing would be most of the test's time."""
    person = django_user_model.objects.create(username="eva", is_staff=True, is_superuser=True)
    client.force_login(person)
    return client


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """All services as processes, with databases and a broker of their own."""
    folder = tmp_path_factory.mktemp("stack")
    with LocalStack(folder=folder, fresh=True, free_ports=True, use_given=False) as running:
        yield running


@pytest.fixture(scope="session")
def shop(stack):
    """That stack as its users call it."""
    return Shop(stack)
