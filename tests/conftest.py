"""Shared by all tests."""

import json
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlencode

import hypothesis
import msgspec
import pytest
from django.conf import settings
from django.db import connections
from whitenoise.middleware import WhiteNoiseMiddleware

from catalogue.checkout import PADDED, PADDING
from coordination.management import operating
from httpapi.middleware import RequestContext
from messaging import outbox, wakeups
from pagos import desk
from participant import failpoints, stale_connections, tracing
from stack.local import LocalStack
from tarjetas import operations as network
from tests import clearing, documented, lanes
from tests.chaos.triggers import Triggers
from tests.checkout.shop import Shop
from tests.skewed import SKEW
from tests.skewed import VARIABLE as SKEW_VARIABLE
from tests.traces import Receiver

# The duration of an example depends on the machine and on the tests beside it.
hypothesis.settings.register_profile("dueto", deadline=None)
hypothesis.settings.load_profile("dueto")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        lanes.FULL,
        action="store_true",
        help="also what lanes.ONLY_FULL names; tests/chaos: every process at every point, killed,"
        " cut off, without its database; tests/unit/explorer: 100,000 schedules",
    )
    parser.addoption(
        "--fuzz", type=int, default=300, help="tests/fuzz: how many requests, and messages"
    )
    parser.addoption(
        "--sagas", type=int, default=5_000, help="tests/growth: among how many finished sagas"
    )
    parser.addoption("--fuzz-seed", type=int, default=0, help="tests/fuzz: the same ones again")


SAGAS_A_SECOND = 200
"""Of tests/growth: copied, read, audited and deleted, at the least."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption(lanes.FULL) and "::" not in "".join(config.args):
        left_out = [item for item in items if re.search(lanes.ONLY_FULL, item.nodeid)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=_is_alone)
    seconds = config.getoption("--sagas") / SAGAS_A_SECOND
    for item in items:
        if seconds > float(config.getini("timeout")) and "tests/growth/" in item.nodeid:
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Before the time limit of the test begins: waits for the other lanes."""
    if _is_alone(item):
        lanes.wait_for_quiet()
    return (yield)


def _is_alone(item: pytest.Item) -> bool:
    return item.nodeid.partition("::")[0] in lanes.ALONE


def pytest_configure() -> None:
    settings.AUTH = "demo"  # tests of permissions set it to required
    os.environ.setdefault("DUETO_AUTH", "demo")  # the same, of processes that tests start
    settings.PERSON_RATE = settings.MOST_UNDER_WAY = settings.MOST_RESERVED = 0
    _read_static_files_once()
    clearing.install()
    # The live server's threads outlive a test; their connections must not.
    for database in settings.DATABASES.values():
        database["CONN_MAX_AGE"] = 0
    # A shop that runs beside the tests has other prices.
    settings.SERVICE_URLS["inventario"] = "http://127.0.0.1:9"


def _read_static_files_once() -> None:
    """Each client makes the middleware anew, which would take a third of a second of CPU."""
    read, known = WhiteNoiseMiddleware.add_files_from_finders, {}

    def add(self):
        if not known:
            read(self)
            known.update(self.files)
        self.files.update(known)

    WhiteNoiseMiddleware.add_files_from_finders = add


@pytest.fixture(autouse=True)
def _documented(monkeypatch, request):
    """All that is sent is documented: each answer of a door, each message of an outbox. A test that
    damages rows, or writes arbitrary messages (`"messages"`), is marked `undocumented`.
    """
    errors: list[str] = []
    served, add = RequestContext.__call__, outbox.add
    marker = request.node.get_closest_marker("undocumented")

    def called(self, request):
        response = served(self, request)
        if response.status_code != 500:
            errors.extend(documented.check_answer(request, response))
        return response

    def added(*, service, events):
        for event in events:
            errors.extend(documented.check_message(service, event))
        return add(service=service, events=events)

    if marker is None or marker.args:
        monkeypatch.setattr(RequestContext, "__call__", called)
    if marker is None:
        monkeypatch.setattr(outbox, "add", added)
    yield
    assert not errors, "\n".join(dict.fromkeys(errors))


@pytest.fixture(autouse=True)
def _no_late_wakeups(_django_db_marker):
    """A wake-up caused by a test's commit ends before its database is out of reach."""
    yield
    wakeups.close()


@pytest.fixture(autouse=True)
def _no_old_marks(_django_db_marker):
    """Forgets after a test that its database failed or took no writes, for the cleanup."""
    yield
    stale_connections._failed_at = stale_connections._read_only_at = float("-inf")


class CardNetwork(desk.Network):
    """The card network itself, called in this process: its code and its database, and no HTTP."""

    def __init__(self) -> None:
        super().__init__(url=settings.SERVICE_URLS["tarjetas"])

    def _post(self, path, body, kind):
        try:
            if path == "/refunds":
                return network.refund(keys=[item["key"] for item in body])
            requests = [
                network.ChargeRequest(**item | {"amount": Decimal(item["amount"])}) for item in body
            ]
            return msgspec.convert(
                [msgspec.to_builtins(item) for item in network.charge(asked=requests)], type=kind
            )
        finally:
            connection = connections["tarjetas"]
            if not connection.in_atomic_block:
                connection.close()  # of whichever thread pagos called from


@pytest.fixture(autouse=True)
def card_network(monkeypatch):
    """pagos calls this card network, within the test."""
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


@pytest.fixture
def operator(client, monkeypatch):
    """Commands call this process, for every service."""

    def call(service, method, path, *, body=None, query=None):
        # In a process of all services these paths are below each service's name.
        own = f"/{service}{path}" if path.startswith("/messages") else path
        url = f"{own}?{urlencode(query)}" if query else own
        send = {"data": json.dumps(body), "content_type": "application/json"} if body else {}
        response = client.generic(method, url, **send)
        return operating.Reply(response.status_code, response.json())

    monkeypatch.setattr(operating, "call", call)


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


@pytest.fixture(scope="session")
def triggers(tmp_path_factory):
    """Arms the failpoints of the unusual shop's processes."""
    return Triggers(tmp_path_factory.mktemp("points"))


@pytest.fixture(scope="session")
def receiver():
    """Where the unusual shop sends its traces."""
    with Receiver() as running:
        yield running


@pytest.fixture(scope="session")
def unusual_shop(tmp_path_factory, triggers, receiver):
    """A shop whose checkouts have eight steps, whose bookings are to be decided within a second,
    and whose processes believe that it is later, while its servers don't. It is traced.
    """
    environment = {
        PADDING: str(len(PADDED)),
        "DUETO_DECIDE_SECONDS": "booking.approve_booking=1,booking.pay_bill=1",
        SKEW_VARIABLE: str(SKEW),
        "DJANGO_SETTINGS_MODULE": "tests.skewed.settings",
        failpoints.FOLDER: str(triggers.folder),
        tracing.ENDPOINT: receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with LocalStack(
        folder=tmp_path_factory.mktemp("unusual"),
        fresh=True,
        free_ports=True,
        use_given=False,
        longest_pause=0.0,
        environment=environment,
    ) as running:
        yield Shop(running)
