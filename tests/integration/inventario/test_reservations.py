"""Reserve, unreserve, commit, restore, expire: their effects on the stock."""

from datetime import UTC, datetime

import pytest

from catalogue import refusals
from contracts.outcomes import NOTHING_TO_UNDO, Done, Refused
from inventario import operations
from inventario.models import Product, Reservation, ReservationLine

pytestmark = pytest.mark.django_db(databases=["inventario"])

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def stock(product: Product) -> tuple[int, int, int]:
    product.refresh_from_db()
    assert product.initial == product.available + product.reserved + product.sold
    return product.available, product.reserved, product.sold


def expire_all() -> int:
    Reservation.objects.update(expires_at=LONG_AGO)
    return operations.expire()


def test_reserving_reserves_every_line(product, shop):
    laptop, mouse = product(10), product(5)
    done = shop.reserve("s", {laptop: 2, mouse: 5})
    assert stock(laptop) == (8, 2, 0)
    assert stock(mouse) == (0, 5, 0)
    reservation = Reservation.objects.get(saga_id="s")
    assert done == Done({"reservation_id": str(reservation.pk)})
    assert set(reservation.lines.values_list("product_id", "quantity")) == {
        (laptop.pk, 2),
        (mouse.pk, 5),
    }


def test_refused_reservation_leaves_no_line_reserved(product, shop):
    laptop, mouse = product(10), product(5)
    refused = shop.reserve("s", {laptop: 2, mouse: 6})
    assert refused.code == refusals.OUT_OF_STOCK
    assert f"Product {mouse.pk}: 6 wanted, 5 available" in refused.detail
    assert stock(laptop) == (10, 0, 0)
    assert not ReservationLine.objects.exists()


@pytest.mark.parametrize("product_id", ["999999", "nonsense", "", "9" * 30])
def test_unknown_product_is_refused(product, shop, product_id):
    refused = shop.reserve("s", {product(): 1, product_id: 1})
    assert refused.code == refusals.UNKNOWN_PRODUCT
    assert not Reservation.objects.exists()


def test_lines_of_one_product_are_counted_together(product, shop):
    laptop = product(3)
    assert isinstance(shop.reserve("s", {laptop.pk: 2, f"0{laptop.pk}": 2}), Refused)
    shop.reserve("t", {laptop.pk: 2, f"0{laptop.pk}": 1})
    assert stock(laptop) == (0, 3, 0)


def test_unreserving_gives_everything_back(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    assert shop.unreserve("s") == Done({"released": True})
    assert stock(laptop) == (10, 0, 0)
    assert Reservation.objects.get().status == "released"


def test_committing_sells_what_was_reserved(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    assert isinstance(shop.commit("s"), Done)
    assert stock(laptop) == (6, 0, 4)


def test_committing_without_a_reservation_is_refused(shop):
    assert shop.commit("s").code == refusals.NO_RESERVATION


def test_committing_after_unreserving_is_refused(product, shop):
    shop.reserve("s", {product(): 1})
    shop.unreserve("s")
    assert shop.commit("s").code == refusals.NO_RESERVATION


def test_unreserving_what_was_sold_changes_nothing(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    shop.commit("s")
    assert shop.unreserve("s") == Done({"released": False})
    assert stock(laptop) == (6, 0, 4)


def test_restoring_takes_back_what_was_sold(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    shop.commit("s")
    assert shop.restore("s") == Done({"restored": True})
    assert stock(laptop) == (10, 0, 0)


def test_restoring_what_was_not_sold_changes_nothing(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    assert shop.restore("s") == NOTHING_TO_UNDO
    assert stock(laptop) == (6, 4, 0)


def test_expiry_releases_what_is_due_and_nothing_else(product, shop):
    laptop = product(10)
    shop.reserve("due", {laptop: 1})
    Reservation.objects.update(expires_at=LONG_AGO)
    shop.reserve("later", {laptop: 2})
    shop.reserve("sold", {laptop: 3})
    shop.commit("sold")
    assert operations.expire() == 1
    assert operations.expire() == 0
    assert stock(laptop) == (5, 2, 3)


def test_commit_after_the_expiry_is_refused(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    assert expire_all() == 1
    assert shop.commit("s").code == refusals.RESERVATION_EXPIRED
    assert stock(laptop) == (10, 0, 0)


def test_unreserving_after_the_expiry_gives_nothing_back_twice(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    expire_all()
    assert shop.unreserve("s") == Done({"released": False})
    assert stock(laptop) == (10, 0, 0)


def test_sold_reservation_does_not_expire(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 4})
    shop.commit("s")
    assert expire_all() == 0
    assert stock(laptop) == (6, 0, 4)


def test_operation_that_serves_two_steps_of_a_saga_reserves_for_each(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 2}, step="first")
    shop.reserve("s", {laptop: 3}, step="second")
    assert stock(laptop) == (5, 5, 0)
    assert shop.unreserve("s", step="second") == Done({"released": True})
    assert stock(laptop) == (8, 2, 0)
    shop.commit("s")
    assert stock(laptop) == (8, 0, 2)


def test_commit_and_restore_take_all_that_a_saga_has_reserved(product, shop):
    laptop = product(10)
    shop.reserve("s", {laptop: 2}, step="first")
    shop.reserve("s", {laptop: 3}, step="second")
    shop.commit("s")
    assert stock(laptop) == (5, 0, 5)
    shop.restore("s")
    assert stock(laptop) == (10, 0, 0)
