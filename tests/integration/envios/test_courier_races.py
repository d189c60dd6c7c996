"""Many orders at once for few couriers; with its control."""

import pytest
from django.db import IntegrityError, transaction

from contracts.outcomes import Done
from envios import store
from envios.models import Courier
from participant import sql
from tests.threads import InThread, at_once, wait_until_blocked

pytestmark = pytest.mark.django_db(transaction=True, databases=["envios"])

SERVICE = "envios"


def orders(shop, count):
    return [lambda n=n: shop.schedule(f"s{n}") for n in range(count)]


@pytest.fixture
def no_locks(monkeypatch):
    """The control: the same SQL without its locks."""

    def execute(statement, values):
        statement = statement.replace("FOR NO KEY UPDATE OF courier", "")
        return sql.execute(service=SERVICE, sql=statement, values=values)

    monkeypatch.setattr(store, "_execute", execute)


def test_hundred_orders_for_ten_places_get_exactly_ten(courier, shop):
    couriers = [courier(2) for _ in range(5)]
    results = at_once(orders(shop, 100), service=SERVICE)
    assert sum(isinstance(result, Done) for result in results) == 10
    for row in couriers:
        row.refresh_from_db()
        assert (row.busy, row.deliveries.count()) == (2, 2)


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_only_the_constraint_stops_overbooking(courier, shop):
    courier(5)
    with transaction.atomic(using=SERVICE):
        Courier.objects.select_for_update().get()
        coming = [InThread(order, service=SERVICE) for order in orders(shop, 10)]
        wait_until_blocked(service=SERVICE, count=10)
    faults = [call for call in coming if isinstance(call.ended_with(), IntegrityError)]
    assert len(faults) == 5
    assert "courier_within_capacity" in str(faults[0].ended_with())


def test_schedule_and_cancel_at_once_leave_as_many_busy_as_there_are_deliveries(courier, shop):
    rosa, ines = courier(30), courier(30)
    for n in range(30):
        shop.schedule(f"old{n}")
    calls = [lambda n=n: shop.cancel(f"old{n}") for n in range(30)] + orders(shop, 30)
    assert all(isinstance(result, Done) for result in at_once(calls, service=SERVICE))
    for row in (rosa, ines):
        row.refresh_from_db()
        assert row.busy == row.deliveries.filter(status="scheduled").count()
    assert rosa.busy + ines.busy == 30
