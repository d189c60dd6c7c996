"""Races: many buyers of one product, and an expiry against a commit. Each with its control."""

import re
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from catalogue import refusals
from catalogue.commands import Commit
from contracts.outcomes import Done, Refused
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
    results = at_once(buyers(shop, hot, 50), service=SERVICE)
    assert sum(isinstance(result, Done) for result in results) == 10
    assert sum(isinstance(result, Refused) for result in results) == 40
    hot.refresh_from_db()
    assert (hot.available, hot.reserved) == (0, 10)


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_only_the_constraint_stops_overselling(product, shop):
    hot = product(10)
    with transaction.atomic(using=SERVICE):
        Product.objects.select_for_update().get()
        coming = [InThread(buyer, service=SERVICE) for buyer in buyers(shop, hot, 20)]
        wait_until_blocked(service=SERVICE, count=20)
    faults = [call for call in coming if isinstance(call.ended_with(), IntegrityError)]
    assert len(faults) == 10
    assert "product_stock_not_negative" in str(faults[0].ended_with())


def test_buyers_of_two_products_in_opposite_order_all_get_theirs(product, shop):
    first, second = product(20), product(20)
    lines = [{first: 1, second: 1}, {second: 1, first: 1}]
    calls = [lambda n=n: shop.reserve(f"s{n}", lines[n % 2]) for n in range(20)]
    results = at_once(calls, service=SERVICE)
    assert all(isinstance(result, Done) for result in results)


def test_commit_and_expiry_at_once_agree_on_every_reservation(product, shop):
    hot = product(100)
    saga_ids = [f"s{n}" for n in range(60)]
    for saga_id in saga_ids:
        shop.reserve(saga_id, {hot: 1})
    Reservation.objects.update(expires_at=LONG_AGO)

    def commit(part):
        commands = [Commit(saga_id=saga_id) for saga_id in part]
        return execute(operation=operations.commit, commands=commands)

    calls = [lambda n=n: commit(saga_ids[n::4]) for n in range(4)]
    calls += [lambda: operations.expire(limit=15)] * 4
    results = at_once(calls, service=SERVICE)
    outcomes = {
        executed.command.saga_id: executed.outcome for part in results[:4] for executed in part
    }
    sold = {saga_id for saga_id, outcome in outcomes.items() if isinstance(outcome, Done)}
    committed = Reservation.objects.filter(status="committed")
    assert sold == set(committed.values_list("saga_id", flat=True))
    assert len(saga_ids) - len(sold) == sum(results[4:])
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


def units_reserved() -> int:
    lines = ReservationLine.objects.filter(reservation__status="reserved")
    return lines.aggregate(sum=Sum("quantity"))["sum"]


def test_expiry_leaves_alone_what_is_being_committed(due, shop):
    with transaction.atomic(using=SERVICE):
        shop.commit("due")
        assert InThread(operations.expire, service=SERVICE).ended_with() == 0
    due.refresh_from_db()
    assert (due.available, due.reserved, due.sold) == (2, 4, 4)
    assert units_reserved() == due.reserved


@pytest.mark.usefixtures("no_locks")
def test_without_the_lock_the_expiry_gives_back_what_was_sold(due, shop):
    with transaction.atomic(using=SERVICE):
        shop.commit("due")
        expiry = InThread(operations.expire, service=SERVICE)
        wait_until_blocked(service=SERVICE, count=1)
    assert expiry.ended_with() == 1
    due.refresh_from_db()
    assert units_reserved() != due.reserved


class TestMostReserved:
    """A user with a limit of ten reserves six units twice, the second while the first is open."""

    @pytest.fixture(autouse=True)
    def limit(self, settings):
        settings.MOST_RESERVED = 10

    @pytest.fixture
    def second(self, product, shop):
        """The second reservation, requested before the first has committed."""
        first, other = product(10), product(10)

        def ask(wait):
            with transaction.atomic(using=SERVICE):
                assert isinstance(shop.reserve("s1", {first: 6}, user_id="ana"), Done)
                call = partial(shop.reserve, "s2", {other: 6}, user_id="ana")
                thread = InThread(call, service=SERVICE)
                wait(thread)
            return thread.result()

        return ask

    def test_the_second_waits_for_its_turn_and_is_refused(self, second):
        refused = second(lambda thread: wait_until_blocked(service=SERVICE, count=1))
        assert refused.code == refusals.TOO_MANY_RESERVED
        assert units_reserved() == 6

    def test_control_without_its_turn_it_would_get_them(self, second, monkeypatch):

        def execute(statement, values):
            statement = statement.replace("pg_advisory_xact_lock(hashtextextended(", "((%s, ")
            statement = statement.replace("((%s, user_id, %s))", "user_id || %s")
            return sql.execute(service=SERVICE, sql=statement, values=values)

        monkeypatch.setattr(store, "_execute", execute)
        assert isinstance(second(lambda thread: thread.result()), Done)
        assert units_reserved() == 12

    def test_others_do_not_wait(self, product, shop):
        first, second = product(10), product(10)
        with transaction.atomic(using=SERVICE):
            shop.reserve("s1", {first: 6}, user_id="ana")
            call = partial(shop.reserve, "s2", {second: 6}, user_id="ben")
            assert isinstance(InThread(call, service=SERVICE).result(), Done)

    @pytest.mark.parametrize("end", ["unreserve", "commit"])
    def test_what_is_reserved_no_longer_counts_no_more(self, product, shop, end):
        shop.reserve("s1", {product(10): 10}, user_id="ana")
        assert isinstance(shop.reserve("s2", {product(10): 1}, user_id="ana"), Refused)
        getattr(shop, end)("s1")
        assert isinstance(shop.reserve("s3", {product(10): 10}, user_id="ana"), Done)

    def test_it_costs_a_statement_more_and_nothing_where_there_is_no_limit(
        self, product, shop, settings
    ):
        """Nor within a list; reservations without a user have no limit."""

        def statements(saga_id, user_id):
            with CaptureQueriesContext(connections[SERVICE]) as queries:
                shop.reserve(saga_id, {hot: 1}, user_id=user_id)
            return len(queries)

        hot = product(10)
        with_it, without_user = statements("s1", "ana"), statements("s2", "")
        settings.MOST_RESERVED = 0
        assert (with_it, without_user) == (statements("s3", "ana") + 1, with_it - 1)
