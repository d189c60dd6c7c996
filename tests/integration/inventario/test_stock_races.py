"""Many at once: one hot product, and an expiry that meets a commit. Each with its control."""

import re
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum

from contracts.outcomes import Done, Refused
from contracts.saga import Command
from inventario import operations, store
from inventario.models import Product, Reservation, ReservationLine
from participant import sql
from participant.executing import execute
from tests.threads import InThread, at_once, wait_until_blocked

pytestmark = pytest.mark.django_db(transaction=True, databases=["inventario"])

SERVICE = "inventario"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def buyers(shop, product, count):
    """So many buyers of one unit each."""
    return [lambda n=n: shop.reserve(f"s{n}", {product: 1}) for n in range(count)]


@pytest.fixture
def no_locks(monkeypatch):
    """The control: the same SQL without its locks."""

    def execute(statement, values):
        statement = statement.replace("FOR NO KEY UPDATE OF held SKIP LOCKED", "")
        statement = re.sub(r"FOR NO KEY UPDATE( OF held)?", "", statement)
        return sql.execute(service=SERVICE, sql=statement, values=values)

    monkeypatch.setattr(store, "_execute", execute)


def test_fifty_buyers_of_ten_units_get_exactly_ten(product, shop):
    hot = product(10)
    got = at_once(buyers(shop, hot, 50), service=SERVICE)
    assert sum(isinstance(one, Done) for one in got) == 10
    assert sum(isinstance(one, Refused) for one in got) == 40
    hot.refresh_from_db()
    assert (hot.available, hot.reserved) == (0, 10)


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_only_the_constraint_stops_overselling(product, shop):
    hot = product(10)
    with transaction.atomic(using=SERVICE):
        Product.objects.select_for_update().get()
        coming = [InThread(buyer, service=SERVICE) for buyer in buyers(shop, hot, 20)]
        wait_until_blocked(service=SERVICE, count=20)
    faults = [one for one in coming if isinstance(one.ended_with(), IntegrityError)]
    assert len(faults) == 10
    assert "product_stock_not_negative" in str(faults[0].ended_with())


def test_buyers_of_two_products_in_opposite_order_all_get_theirs(product, shop):
    one, other = product(20), product(20)
    lines = [{one: 1, other: 1}, {other: 1, one: 1}]
    calls = [lambda n=n: shop.reserve(f"s{n}", lines[n % 2]) for n in range(20)]
    got = at_once(calls, service=SERVICE)
    assert all(isinstance(one, Done) for one in got)


def test_commit_and_expiry_at_once_agree_on_every_reservation(product, shop):
    hot = product(100)
    saga_ids = [f"s{n}" for n in range(60)]
    for saga_id in saga_ids:
        shop.reserve(saga_id, {hot: 1})
    Reservation.objects.update(expires_at=LONG_AGO)

    def commit(part):
        commands = [Command(saga_id=saga_id) for saga_id in part]
        return execute(operation=operations.commit, commands=commands)

    calls = [lambda n=n: commit(saga_ids[n::4]) for n in range(4)]
    calls += [lambda: operations.expire(limit=15)] * 4
    got = at_once(calls, service=SERVICE)
    outcomes = {one.command.saga_id: one.outcome for part in got[:4] for one in part}
    sold = {saga_id for saga_id, one in outcomes.items() if isinstance(one, Done)}
    committed = Reservation.objects.filter(status="committed")
    assert sold == set(committed.values_list("saga_id", flat=True))
    assert len(saga_ids) - len(sold) == sum(got[4:])
    hot.refresh_from_db()
    assert (hot.sold, hot.reserved) == (len(sold), 0)


@pytest.fixture
def due(product, shop):
    """A product with a reservation of four that is due, and one of four that is not."""
    hot = product(10)
    shop.reserve("due", {hot: 4})
    Reservation.objects.update(expires_at=LONG_AGO)
    shop.reserve("other", {hot: 4})
    return hot


def put_aside() -> int:
    lines = ReservationLine.objects.filter(reservation__status="reserved")
    return lines.aggregate(sum=Sum("quantity"))["sum"]


def test_expiry_leaves_alone_what_is_being_committed(due, shop):
    with transaction.atomic(using=SERVICE):
        shop.commit("due")
        assert InThread(operations.expire, service=SERVICE).ended_with() == 0
    due.refresh_from_db()
    assert (due.available, due.reserved, due.sold) == (2, 4, 4)
    assert put_aside() == due.reserved


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_the_expiry_gives_back_what_was_sold(due, shop):
    with transaction.atomic(using=SERVICE):
        shop.commit("due")
        expiry = InThread(operations.expire, service=SERVICE)
        wait_until_blocked(service=SERVICE, count=1)
    assert expiry.ended_with() == 1
    due.refresh_from_db()
    assert put_aside() != due.reserved
